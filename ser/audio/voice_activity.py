"""Where in a recording somebody speaks, in seconds.

Silero's network finds voices and passes over noise, tones and music, but misses whispers. A whisper has noise where a
voice has pulses of the vocal folds, with the same resonances of mouth and throat. So what is loud and was not found is
searched once more with pulses put in, and counts where it is breath.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from ser.audio.io import resample
from ser.audio.silero import FRAME, SAMPLE_RATE, speech_probabilities

_Stretch = tuple[int, int]
"""The first frame and the one after the last."""

_BLOCK = 1 << 17
_FRAME_SECONDS = FRAME / SAMPLE_RATE
_LOUDEST_FRAMES = 12
"""The loudest 0.4 s set the gain: any voice lasts longer, and a click does not."""
_LEVEL = 0.04
"""What their level becomes; the network finds voices from 50 dB below that to 20 dB above."""
_LEAST_LEVEL = 1e-9

_BEGIN, _CONTINUE, _CONTINUE_LOUD = 0.5, 0.35, 0.15
"""Probability that a stretch of speech reaches somewhere; that it stays above; and the same where the sound is loud."""
_SHORTEST = 3
_EVIDENCE, _WHISPER_EVIDENCE = 7.0, 12.0
"""Sum of the probabilities over a stretch without a break; each span has one. Knocks, bells and the first moment of a
hum or a melody resemble a voice and reach 6; a short word reaches 8, a sentence 12 or more. With pulses put in, the
keys of a telephone reach 9, and whispered sentences 20 or more."""
_PAUSE_SECONDS = 0.3
MARGIN_SECONDS = 0.1
"""On either side of a span, so that no onset or end of a word is cut."""

_FLOOR = 10
"""Percentile of the frames' levels: the noise behind the voice."""
_ABOVE_FLOOR = 10 ** (10 / 20)
_SHORTEST_WHISPER, _AROUND_WHISPER = 10, 16
"""Frames that are loud; and those of the noise in the room that the network sees before and after."""
_PULSES_PER_SECOND, _PULSE_DECAY = 120, 3.0
_POLE = 0.9

_RUMBLE_LINE, _LOWEST_LINE, _HIGHEST_LINE = 2, 20, 320
"""Lines of 15.6 Hz: 31, 310 and 5,000 Hz."""
_NEIGHBOURS = 5
_BREATH = {"fraction": (0.7, 1.1), "lines": (6.0, 70.0), "flatness": (0.25, 0.56), "kurtosis": (2.75, np.inf)}
"""Of whispers they are 0.9 to 1, 7 to 35, 0.43 to 0.55 and 2.9 to 4.4; of white noise 0.6, 150, 0.61 and 3; of one tone
1, 2, 0.4 and 1.5; of the keys of a telephone 1, 8, 0.54 to 0.64 and 2.6 to 2.8."""


@dataclass(frozen=True)
class Span:
    """A stretch of speech.

    Attributes
    ----------
    start, end : seconds from the beginning of the recording, `start` before `end`.
    """

    start: float
    end: float


def find_speech(waveform: NDArray[np.float32], *, sample_rate: int) -> list[Span]:
    """Return where somebody speaks: sorted, disjoint spans with a margin of 0.1 s, without pauses below 0.3 s.

    Neither gain nor a constant offset changes them. There are none where nobody speaks.

    Parameters
    ----------
    waveform : float32 [samples], mono, finite, a whole recording of up to ten minutes.
    sample_rate : Hz, 8,000 or more.
    """
    sound = _centred(waveform, sample_rate)
    levels = _frame_levels(sound)
    if not len(levels):
        return []
    loud = levels > np.percentile(levels, _FLOOR) * _ABOVE_FLOOR
    voiced = _stretches(speech_probabilities(_amplified(sound, levels)), loud, evidence=_EVIDENCE)
    whispered = [found for gap in _gaps(voiced, len(levels)) for found in _whispers(sound, loud, gap)]
    return _spans(_joined(sorted(voiced + whispered)), seconds=len(waveform) / sample_rate)


def _centred(waveform: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Return the waveform [samples'] at `SAMPLE_RATE` with its mean taken off."""
    if not len(waveform):
        return waveform
    mean = np.float32(waveform.mean(dtype=np.float64))
    if len(waveform) <= _BLOCK:  # a stream of one block takes twice as long
        whole: NDArray[np.float32] = soxr.resample(waveform - mean, sample_rate, SAMPLE_RATE, quality="HQ")
        return whole

    def blocks() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(waveform), _BLOCK):
            yield waveform[start : start + _BLOCK] - mean

    return resample(blocks(), sample_rate, SAMPLE_RATE)


def _frame_levels(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median magnitude of each whole frame, float32 [samples // `FRAME`]; every second sample will do.

    A click lasts for a small part of a frame, so that the median does not feel it.
    """
    count = len(sound) // FRAME
    levels: NDArray[np.float32] = np.median(np.abs(sound[: count * FRAME : 2]).reshape(count, FRAME // 2), axis=1)
    return levels


def _amplified(sound: NDArray[np.float32], levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sound with its loudest frames at `_LEVEL`, and what is louder than full scale cut off."""
    place = max(len(levels) - _LOUDEST_FRAMES, 0)
    gain = _LEVEL / max(float(np.partition(levels, place)[place]), _LEAST_LEVEL)
    amplified = sound * np.float32(gain)
    return np.clip(amplified, -1, 1, out=amplified)


def _stretches(probabilities: NDArray[np.float32], loud: NDArray[np.bool_], *, evidence: float) -> list[_Stretch]:
    """Return the stretches of speech, pauses in them bridged, from the probability of speech and loudness [frames]."""
    sure = [
        (first, last)
        for first, last in _runs(probabilities > _CONTINUE)
        if probabilities[first:last].max() > _BEGIN and probabilities[first:last].sum() >= evidence
    ]
    count = len(loud)  # a last frame that is not whole has a probability and no level
    likely = probabilities > _CONTINUE
    likely[:count] |= loud & (probabilities[:count] > _CONTINUE_LOUD)
    wide = _joined([(first, last) for first, last in _runs(likely) if last - first >= _SHORTEST])
    return [whole for whole in wide if any(whole[0] <= first < whole[1] for first, _ in sure)]


def _runs(chosen: NDArray[np.bool_]) -> list[_Stretch]:
    """Return the stretches in which every frame is chosen."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]])))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def _joined(stretches: list[_Stretch]) -> list[_Stretch]:
    """Return sorted stretches, joined where no pause lies between them; they may overlap, or lie within another."""
    joined: list[_Stretch] = []
    for first, last in stretches:
        if joined and (first - joined[-1][1]) * _FRAME_SECONDS < _PAUSE_SECONDS:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined


def _gaps(stretches: list[_Stretch], count: int) -> list[_Stretch]:
    """Return what lies before, between and after the stretches, of `count` frames in all."""
    edges = [0, *(edge for stretch in stretches for edge in stretch), count]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _whispers(sound: NDArray[np.float32], loud: NDArray[np.bool_], gap: _Stretch) -> list[_Stretch]:
    """Return the stretches of whispered speech in a gap, given where the sound is above the noise in the room."""
    start, end = gap
    whispers: list[_Stretch] = []
    for one, other in _joined(_runs(loud[start:end])):
        first, last = start + one, start + other
        if np.count_nonzero(loud[first:last]) < _SHORTEST_WHISPER or not _is_breath(
            sound[first * FRAME : last * FRAME]
        ):
            continue
        first, last = max(first - _AROUND_WHISPER, 0), min(last + _AROUND_WHISPER, len(loud))
        pulsed = _with_pulses(sound[first * FRAME : last * FRAME])
        probabilities = speech_probabilities(_amplified(pulsed, _frame_levels(pulsed)))
        found = _stretches(probabilities, loud[first:last], evidence=_WHISPER_EVIDENCE)
        whispers += [(first + one, first + other) for one, other in found]
    return whispers


def _with_pulses(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return noise with the pulses of a voice, and with the slope of its spectrum."""
    phase = np.arange(len(sound)) * (_PULSES_PER_SECOND / SAMPLE_RATE) % 1
    pulsed: NDArray[np.float32] = (sound * np.exp(-_PULSE_DECAY * phase)).astype(np.float32)
    lag, weight = 1, _POLE
    while weight > 1e-3 and lag < len(pulsed):  # a filter of one pole: each turn doubles the length of its response
        pulsed[lag:] += np.float32(weight) * pulsed[:-lag]
        lag, weight = 2 * lag, weight**2
    return pulsed


def _is_breath(sound: NDArray[np.float32]) -> bool:
    """Return whether float32 [samples], two frames or more, is noise with resonances, and neither tones nor rumble.

    Four medians tell, three over blocks of two frames: the power between 0.3 and 5 kHz as a fraction of all; over how
    many lines of the spectrum it is spread, (sum p)^2 / sum p^2; its flatness, geometric mean of each line over its
    neighbourhood; and over frames, the kurtosis of the samples.
    """
    whole = len(sound) // (2 * FRAME) * (2 * FRAME)
    # A part at a time: ten minutes of hiss at once would take 200 MB.
    parts = [_measures(sound[first : min(first + _BLOCK, whole)]) for first in range(0, whole, _BLOCK)]
    medians = {name: np.median(np.concatenate([part[name] for part in parts])) for name in _BREATH}
    return all(least < medians[name] < most for name, (least, most) in _BREATH.items())


def _measures(sound: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    blocks = sound.reshape(-1, 2 * FRAME)
    power = np.square(np.abs(np.fft.rfft(blocks * np.hanning(2 * FRAME), axis=1))) + _LEAST_LEVEL**2  # [blocks, lines]
    within = power[:, _LOWEST_LINE:_HIGHEST_LINE]
    near = power[:, _LOWEST_LINE - _NEIGHBOURS : _HIGHEST_LINE + _NEIGHBOURS]
    around = np.lib.stride_tricks.sliding_window_view(near, 2 * _NEIGHBOURS + 1, axis=1).mean(axis=-1)
    squares = np.square(sound.reshape(-1, FRAME), dtype=np.float64) + _LEAST_LEVEL**2
    return {
        "fraction": within.sum(axis=1) / power[:, _RUMBLE_LINE:].sum(axis=1),
        "lines": np.square(within.sum(axis=1)) / np.square(within).sum(axis=1),
        "flatness": np.exp(np.mean(np.log(within) - np.log(around), axis=1)),
        "kurtosis": np.square(squares).mean(axis=1) / np.square(squares.mean(axis=1)),
    }


def _spans(stretches: list[_Stretch], *, seconds: float) -> list[Span]:
    """Return stretches with margins, in seconds within a recording of so many."""
    return [
        Span(
            start=max(first * _FRAME_SECONDS - MARGIN_SECONDS, 0.0),
            end=min(last * _FRAME_SECONDS + MARGIN_SECONDS, seconds),
        )
        for first, last in stretches
    ]
