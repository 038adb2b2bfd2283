"""Predictions made by hand."""

import numpy as np

from ser.corpora.ravdess import EMOTIONS
from ser.inference.results import Prediction
from ser.inference.segments import Segment


def prediction_of(*probabilities, class_names=EMOTIONS, source="voice.wav"):
    """Return the prediction of a recording with an utterance of one second for each of these, after a pause of one.

    Parameters
    ----------
    probabilities : float [classes] each; without any, there is no speech.
    """
    segments = tuple(
        Segment(
            start=2.0 * place + 1,
            end=2.0 * place + 2,
            speech=1.0,
            probabilities=np.asarray(one, dtype=np.float32),
            attention=np.full(4, 0.25, dtype=np.float32),
            offset=2.0 * place + 1,
        )
        for place, one in enumerate(probabilities)
    )
    n_seconds = float(len(segments))
    return Prediction(
        source=source, class_names=tuple(class_names), segments=segments, speech=n_seconds, duration=2 * n_seconds + 1
    )
