"""The speech of a recording, cut at its pauses into utterances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ser.audio.voice_activity import MARGIN_SECONDS, Span

MIN_SPEECH = 0.3
"""Seconds of speech that a prediction needs; less is a syllable, which carries no emotion."""
SURROUNDINGS = 0.5
"""Seconds of the recording that an utterance keeps on either side of its speech, as a clip of a corpus has them; or a
tenth of the window, where that is less."""
PAUSE = 0.5
"""Seconds between two utterances. Within a sentence of RAVDESS only one pause in a hundred is longer than 0.36 s."""
_SENTENCE = 1.0
"""Seconds that a part should have at least where an utterance is cut because it is too long."""
_SHIFT = 0.25
_BLOCK_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """A stretch of a recording that is predicted as a clip of its own.

    Attributes
    ----------
    start, end : seconds into the recording; its speech, and up to `SURROUNDINGS` around it.
    speech : seconds of speech in it, margins included.
    """

    start: float
    end: float
    speech: float


def cut_utterances(
    waveform: NDArray[np.float32], speech: Sequence[Span], *, sample_rate: int, window: float
) -> list[Utterance]:
    """Return the utterances of a recording, in order and without overlap; none where it has too little speech.

    Speech is cut at every pause of half a second. What is then too long for the window is cut at its longest pause, and
    where it has none, at quiet moments into parts of about the same length.

    Parameters
    ----------
    waveform : float32 [samples] at `sample_rate` Hz.
    speech : as `find_speech` returns it.
    window : seconds that an utterance lasts at most.
    """
    surroundings = min(SURROUNDINGS, window / 10)
    duration = len(waveform) / sample_rate
    groups: list[list[Span]] = []
    for span in speech:
        if groups and span.start - groups[-1][-1].end <= PAUSE:
            groups[-1].append(span)
        else:
            groups.append([span])
    if speech_seconds(speech, duration=duration) < MIN_SPEECH:
        return []
    groups = [group for group in groups if speech_seconds(group, duration=duration) >= MIN_SPEECH] or groups
    parts = [part for group in groups for part in _shorten(group, waveform, sample_rate, window - 2 * surroundings)]
    # Each keeps what is around it as far as the middle of the pause between it and its neighbour.
    edges = [-math.inf, *((one[-1].end + other[0].start) / 2 for one, other in pairwise(parts)), math.inf]
    return [
        Utterance(
            start=max(part[0].start - surroundings, before, 0.0),
            end=min(part[-1].end + surroundings, after, duration),
            speech=sum(span.end - span.start for span in part),
        )
        for part, (before, after) in zip(parts, pairwise(edges), strict=True)
    ]


def speech_seconds(spans: Sequence[Span], *, duration: float) -> float:
    """Return the seconds of speech in spans of a recording of `duration` seconds, without their margins."""
    total = 0.0
    for span in spans:
        n_margins = (span.start > 0) + (span.end < duration)  # the ends of a recording leave no room for one
        total += max(span.end - span.start - n_margins * MARGIN_SECONDS, 0.0)
    return total


def _shorten(
    spans: list[Span], waveform: NDArray[np.float32], sample_rate: int, max_seconds: float
) -> list[list[Span]]:
    """Return `spans`, or parts of them that each last `max_seconds` at most."""
    short: list[list[Span]] = []
    waiting = [spans]  # no recursion: ten minutes of even pauses would go too deep
    while waiting:
        spans = waiting.pop()
        start, end = spans[0].start, spans[-1].end
        pauses = [
            (after.start - before.end, place)
            for place, (before, after) in enumerate(pairwise(spans), start=1)
            if before.end - start >= _SENTENCE and end - after.start >= _SENTENCE
        ]
        if end - start <= max_seconds:
            short.append(spans)
        elif pauses:
            place = max(pauses)[1]
            waiting += [spans[place:], spans[:place]]
        else:
            short += _cut_where_quiet(spans, waveform, sample_rate, max_seconds)
    return short


def _cut_where_quiet(
    spans: list[Span], waveform: NDArray[np.float32], sample_rate: int, max_seconds: float
) -> list[list[Span]]:
    start, end = spans[0].start, spans[-1].end
    shift = min(_SHIFT, max_seconds / 8)  # so that two cuts never pass each other
    n_parts = math.ceil((end - start) / (max_seconds - 2 * shift))
    even = np.linspace(start, end, n_parts + 1)[1:-1]
    cuts = [start, *(_quietest(waveform, sample_rate, moment, shift) for moment in even), end]
    return [clipped for first, last in pairwise(cuts) if (clipped := _within(spans, first, last))]


def _within(spans: Sequence[Span], first: float, last: float) -> list[Span]:
    """Return what of the spans lies from `first` to `last`."""
    clipped = (Span(max(span.start, first), min(span.end, last)) for span in spans)
    return [span for span in clipped if span.end > span.start]


def _quietest(waveform: NDArray[np.float32], sample_rate: int, moment: float, shift: float) -> float:
    """Return the middle of the quietest block that lies within `shift` seconds of a moment."""
    length = max(1, round(_BLOCK_SECONDS * sample_rate))
    first = max(0, round((moment - shift) * sample_rate))
    near = waveform[first : round((moment + shift) * sample_rate)]
    blocks = near[: len(near) // length * length].reshape(-1, length)
    if not len(blocks):
        return moment
    quietest = int(np.square(blocks, dtype=np.float64).mean(axis=1).argmin())
    return (first + (quietest + 0.5) * length) / sample_rate
