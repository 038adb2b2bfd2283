"""The timeline of a recording: its utterances and their predictions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ser.features.settings import FeatureSettings


@dataclass(frozen=True, kw_only=True)
class Segment:
    """An utterance and its prediction, which is that of a recording of its own.

    Attributes
    ----------
    start, end : seconds from the beginning of the recording.
    speech : seconds of speech between them.
    probabilities : float32 [classes], not negative, summing to 1.
    attention : float32 [weights], summing to 1, evenly over `max_length` frames from `offset` on.
    offset : seconds from the beginning of the recording; `start` to a frame, or later where silence was trimmed.
    summary : float32 [n_summary], which speaker context is made of (`ser.inference.context`); [0] where the model takes
        none.
    """

    start: float
    end: float
    speech: float
    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    offset: float
    summary: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32), repr=False)


def attention_over_time(
    segments: Sequence[Segment], *, settings: FeatureSettings, duration: float
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the attention over a recording of `duration` seconds.

    Returns
    -------
    seconds : float64 [steps], the middle of each step; a step is the time that one weight of a segment stands for.
    attention : float32 [steps], the weights of the segments, each weighted by its speech; summing to 1. All 0 where
        there is no segment.
    """
    n_weights = len(segments[0].attention) if segments else 1
    step = settings.duration / n_weights
    seconds = np.arange(0.5, max(1, math.ceil(duration / step)), dtype=np.float64) * step
    total = np.zeros(len(seconds))
    for segment in segments:
        places = np.floor((seconds - segment.offset) / step).astype(int)
        inside = (places >= 0) & (places < n_weights)
        total[inside] += segment.speech * segment.attention[places[inside]]
    return seconds, (total / max(total.sum(), np.finfo(np.float64).tiny)).astype(np.float32)
