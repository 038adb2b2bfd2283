"""A recording of any length, judged in overlapping windows of the length that the network is given."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ser.audio.io import SILENCE_PEAK
from ser.features.extract import FeatureSettings

OVERLAP = 0.5
"""Share of a window that the next one hears again, at least."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One stretch of a recording and what the model says of it, as if it were a recording of its own.

    Attributes
    ----------
    start, end : seconds from the beginning of the recording.
    probabilities : float32 [classes]; None where the stretch is silent.
    attention : float32 [weights], evenly over the network's `max_length` frames from `offset` on; None likewise.
    offset : seconds from the beginning of the recording; `start`, or later where a silence was cut off.
    """

    start: float
    end: float
    probabilities: np.ndarray | None
    attention: np.ndarray | None
    offset: float


def cut_segments(waveform: np.ndarray, settings: FeatureSettings) -> list[tuple[int, np.ndarray]]:
    """Return the first sample and the samples of each window, evenly spread from the first sample to the last.

    A waveform no longer than what the network is given is one window. Otherwise all are of that length, so that
    none is mostly padding, and each overlaps the next by `OVERLAP` or more.

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


def is_silent(waveform: np.ndarray) -> bool:
    """Whether a window holds nothing that `ser.audio.io.read_sound` would take for a recording."""
    return float(np.abs(waveform).max()) < SILENCE_PEAK


def mean_probabilities(segments: Sequence[Segment]) -> np.ndarray:
    """Return float32 [classes], the mean over the windows that are not silent; there is one at least."""
    return np.mean([w.probabilities for w in segments if w.probabilities is not None], axis=0)


def attention_over_time(
    segments: Sequence[Segment], *, settings: FeatureSettings, duration: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return on which moments the answers leaned, over a recording of `duration` seconds.

    Returns
    -------
    seconds : float64 [steps], the middle of each step; a step is what one weight of a window stands for.
    attention : float32 [steps], the mean over the windows that hear the moment, 0 in silent ones; summing to 1.
    """
    n_weights = next(len(segment.attention) for segment in segments if segment.attention is not None)
    step = settings.duration / n_weights
    seconds = (np.arange(max(1, math.ceil(duration / step))) + 0.5) * step
    total, heard = np.zeros(len(seconds)), np.zeros(len(seconds))
    for segment in segments:
        places = np.floor((seconds - segment.offset) / step).astype(int)
        inside = (places >= 0) & (places < n_weights)
        heard += inside
        if segment.attention is not None:
            total[inside] += segment.attention[places[inside]]
    mean = total / np.maximum(heard, 1)
    return seconds, (mean / mean.sum()).astype(np.float32)
