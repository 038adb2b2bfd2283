"""The line of a recording below its player: the waveform, its parts in the colours of their emotions."""

from typing import Any

import numpy as np

from app.colours import colour_of
from app.parts import Part, parts_of, smoothing_seconds
from app.sound_picture import SoundPicture
from app.words import clock, percent
from ser.inference.results import Prediction


def player_data(prediction: Prediction, picture: SoundPicture) -> dict[str, Any]:
    """Return what `app/assets/player.js` shows.

    Returns
    -------
    A dict of duration in seconds; edges, where columns of the waveform begin and the last one ends, in seconds; peaks,
    their heights in [0, 1], the highest being 1; and parts: start and end in seconds, colour, emotion, percent, time.
    """
    peaks = np.maximum(picture.high, -picture.low)
    highest = max(float(peaks.max()), 1e-6)
    return {
        "duration": round(prediction.duration, 3),
        "edges": [round(float(second), 3) for second in picture.seconds],
        "peaks": [round(float(peak) / highest, 3) for peak in peaks],
        "parts": [_part(part, prediction) for part in parts_of(prediction)],
    }


def parts_in_words(prediction: Prediction) -> str:
    """Return how the parts came about; "" where there is one alone."""
    n_utterances = len(prediction.segments)
    if n_utterances < 2:
        return ""
    width = smoothing_seconds(prediction)
    smoothed = f", each smoothed over its neighbours within about {width:.0f} seconds" if width else ""
    return f"{n_utterances} utterances{smoothed}. The answer above is their mean, weighted by speech."


def _part(part: Part, prediction: Prediction) -> dict[str, Any]:
    return {
        "start": round(part.start, 3),
        "end": round(part.end, 3),
        "emotion": part.emotion,
        "colour": colour_of(part.emotion, prediction.class_names),
        "percent": percent(part.confidence),
        "time": f"{clock(part.start)} to {clock(part.end)}",
    }
