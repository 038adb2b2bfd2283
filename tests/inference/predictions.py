"""Predictions made by hand: with an utterance or two, without an emotion, of any name."""

import numpy as np

from ser.inference.results import Prediction
from ser.inference.segments import Segment

CLASSES = ("sad", "calm")


def utterance(start: float, end: float, sad: float) -> Segment:
    """Return an utterance that is sad by that probability."""
    probabilities, attention = np.array([sad, 1 - sad], dtype=np.float32), np.ones(1, dtype=np.float32)
    return Segment(start=start, end=end, speech=1.0, probabilities=probabilities, attention=attention, offset=start)


def spoken(source: str, *, segments: tuple[Segment, ...] = (utterance(0, 4, 0.75),), **others: object) -> Prediction:
    """Return the prediction of a recording of 4 s with 2.5 s of speech."""
    given = {"duration": 4.0, "speech": 2.5} | others
    return Prediction(source=source, class_names=CLASSES, segments=segments, **given)


def silent(source: str) -> Prediction:
    """Return the prediction of a recording without speech."""
    return spoken(source, segments=(), speech=0.0, rejection_threshold=0.4)
