"""A recording of any length, cut into overlapping segments of `max_length` frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser.features.settings import FeatureSettings

OVERLAP = 0.5
"""The least fraction of a segment that is part of the next one too."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a recording and its prediction, which is that of a recording of its own.

    Attributes
    ----------
    start, end : seconds from the beginning of the recording.
    probabilities : float32 [classes]; None where the segment is silent.
    attention : float32 [weights], evenly over `max_length` frames from `offset` on; None likewise.
    offset : seconds from the beginning of the recording; `start`, or later where silence was trimmed.
    """

    start: float
    end: float
    probabilities: NDArray[np.float32] | None
    attention: NDArray[np.float32] | None
    offset: float


def cut_segments(waveform: NDArray[np.float32], settings: FeatureSettings) -> list[tuple[int, NDArray[np.float32]]]:
    """Return the first sample and the samples of each segment, evenly spread from the first sample to the last.

    A waveform of at most `max_length` frames is one segment. Otherwise all segments have that length, so that none is
    mostly padding, and each overlaps the next by `OVERLAP` or more.

    Parameters
    ----------
    waveform : float32 [samples] at `settings.sample_rate`.
    """
    length = settings.max_length * settings.hop_length
    if len(waveform) <= length:
        return [(0, waveform)]
    steps = math.ceil((len(waveform) - length) / (length * (1 - OVERLAP)))
    starts = np.linspace(0, len(waveform) - length, steps + 1).round().astype(int)
    return [(int(start), waveform[start : start + length]) for start in starts]


def attention_over_time(
    segments: Sequence[Segment], *, settings: FeatureSettings, duration: float
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the attention over a recording of `duration` seconds.

    Returns
    -------
    seconds : float64 [steps], the middle of each step; a step is the time that one weight of a segment stands for.
    attention : float32 [steps], the mean over the segments that cover the step, 0 for silent ones; summing to 1.
    """
    n_weights = next(len(segment.attention) for segment in segments if segment.attention is not None)
    step = settings.duration / n_weights
    seconds = np.arange(0.5, max(1, math.ceil(duration / step)), dtype=np.float64) * step
    total, n_covering = np.zeros(len(seconds)), np.zeros(len(seconds))
    for segment in segments:
        places = np.floor((seconds - segment.offset) / step).astype(int)
        inside = (places >= 0) & (places < n_weights)
        n_covering += inside
        if segment.attention is not None:
            total[inside] += segment.attention[places[inside]]
    mean: NDArray[np.float64] = total / np.maximum(n_covering, 1)
    return seconds, (mean / mean.sum()).astype(np.float32)
