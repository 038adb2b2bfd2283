"""A long recording as a few parts: its utterances, smoothed over their neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser.inference.results import Prediction

_MOST_UNSMOOTHED = 3
"""So few utterances are shown as they were predicted."""
_SECONDS = 3.0
_FRACTION = 1 / 60
"""The width of the smoothing: seconds, or of the whole recording where that is more."""
_LONGEST_PAUSE = 5.0
"""Seconds; a longer pause ends a part."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Neighbouring utterances of one emotion.

    Attributes
    ----------
    start, end : seconds from the beginning of the recording.
    emotion : the most probable class.
    confidence : its mean probability in them, weighted by speech, in [0, 1].
    """

    start: float
    end: float
    emotion: str
    confidence: float


def smoothing_seconds(prediction: Prediction) -> float:
    """Return the standard deviation of the smoothing in seconds; 0 where there is none."""
    if len(prediction.segments) <= _MOST_UNSMOOTHED:
        return 0.0
    return max(_SECONDS, _FRACTION * prediction.duration)


def parts_of(prediction: Prediction) -> list[Part]:
    """Return the parts of a recording in order: one for each run of utterances that sound alike.

    Each utterance takes on the mean of all, weighted by their speech and by a normal curve of their distance: so a
    short one that differs from all around it does not make a part of its own.
    """
    segments, names = prediction.segments, prediction.class_names
    parts: list[Part] = []
    speech: list[float] = []
    for segment, probabilities in zip(segments, _smoothed(prediction), strict=True):
        place = int(np.argmax(probabilities))
        emotion, confidence = names[place], float(probabilities[place])
        last = parts[-1] if parts else None
        if last and last.emotion == emotion and segment.start - last.end <= _LONGEST_PAUSE:
            total = speech[-1] + segment.speech
            confidence = (last.confidence * speech[-1] + confidence * segment.speech) / total
            parts[-1] = Part(start=last.start, end=segment.end, emotion=emotion, confidence=confidence)
            speech[-1] = total
        else:
            parts.append(Part(start=segment.start, end=segment.end, emotion=emotion, confidence=confidence))
            speech.append(segment.speech)
    return parts


def _smoothed(prediction: Prediction) -> NDArray[np.float64]:
    """Return float64 [utterances, classes], each row summing to 1."""
    segments = prediction.segments
    if not segments:
        return np.empty((0, len(prediction.class_names)))
    probabilities = np.stack([segment.probabilities for segment in segments]).astype(np.float64)
    width = smoothing_seconds(prediction)
    if not width:
        return probabilities
    middles = np.array([(segment.start + segment.end) / 2 for segment in segments])
    speech = np.array([segment.speech for segment in segments])
    weights = speech * np.exp(-0.5 * ((middles[:, None] - middles) / width) ** 2)
    return weights @ probabilities / weights.sum(axis=1, keepdims=True)
