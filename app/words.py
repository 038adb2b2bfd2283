"""The answer in words: what a voice sounds like, how sure that is, and how often the model is right."""

from collections.abc import Sequence

from app.facts import KnownScores
from ser.inference.results import NO_SPEECH, NOT_ENOUGH_SPEECH, Prediction

_ADJECTIVES = {
    **{
        word: word
        for word in ("neutral", "calm", "happy", "sad", "angry", "fearful", "surprised", "disgusted", "bored")
    },
    **{"surprise": "surprised", "disgust": "disgusted", "anger": "angry", "fear": "fearful", "happiness": "happy"},
    **{"sadness": "sad", "joy": "joyful", "boredom": "bored", "anxiety": "anxious", "calmness": "calm"},
}
_SURENESS = ((0.5, "Rather unsure"), (0.7, "Fairly sure"), (0.9, "Sure"), (1.01, "Very sure"))
"""Below a confidence -> the words for it."""
_WITHOUT_SPEECH = {
    NO_SPEECH: "So there is no emotion to predict. Was the microphone muted, or far away?",
    NOT_ENOUGH_SPEECH: "At least 0.3 seconds in one go are needed to predict an emotion. Speak a whole sentence.",
}
"""By status: what a visitor should know."""


def percent(probability: float) -> str:
    """Return a probability as every part of the page shows it: never rounded to 0% or 100%.

    >>> [percent(p) for p in (0.004, 0.724, 0.999)]
    ['under 1%', '72%', 'over 99%']
    """
    if probability < 0.01:
        return "under 1%"
    return "over 99%" if probability > 0.99 else f"{probability:.0%}"


def clock(seconds: float) -> str:
    """Return a moment as minutes and whole seconds.

    >>> clock(75.46)
    '1:15'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def length_in_words(seconds: float) -> str:
    """Return a length of time.

    >>> length_in_words(3.04), length_in_words(75.46)
    ('3.0 seconds', '1:15 minutes')
    """
    return f"{seconds:.1f} seconds" if round(seconds, 1) < 60 else f"{clock(seconds)} minutes"


def sounds(class_name: str) -> str:
    """Return what a voice of a class is like; a word that is no known emotion stands in quotation marks.

    >>> sounds("surprise"), sounds("angry"), sounds("other")
    ('surprised', 'angry', '“other”')
    """
    return _ADJECTIVES.get(class_name.lower(), f"“{class_name}”")


def headline(prediction: Prediction) -> str:
    """Return the answer in a few words."""
    if prediction.emotion is None:
        return prediction.status.capitalize()
    if prediction.is_uncertain:
        return f"Hard to tell, perhaps {sounds(prediction.emotion)}"
    classes = {prediction.class_of(segment.probabilities) for segment in prediction.segments}
    whole = " on the whole" if len(classes) > 1 else ""
    return f"Sounds {sounds(prediction.emotion)}{whole}"


def how_sure(prediction: Prediction) -> str:
    """Return how sure the prediction is, or what to do where there is none, in one or two sentences."""
    confidence = prediction.confidence
    if confidence is None:
        return _WITHOUT_SPEECH[prediction.status]
    if prediction.is_uncertain:
        threshold = percent(prediction.rejection_threshold)
        return f"Not sure: {percent(confidence)}. Below {threshold}, this model gives no clear answer."
    words = next(words for below, words in _SURENESS if confidence < below)
    return f"{words}: {percent(confidence)}."


def how_often_right(known: Sequence[KnownScores]) -> str:
    """Return how often the model, or others of its recipe, were right; "" where that is not known."""
    return " ".join(_right(scores) for scores in known)


def _right(scores: KnownScores) -> str:
    who = "models trained like this one were" if scores.is_of_recipe else "this model was"
    if scores.voices:
        where = f"On {scores.voices}"
    else:
        where = "In their own test" if scores.is_of_recipe else f"In its {scores.part.lower()}"
    return f"{where}, {who} right in {100 * scores.accuracy:.0f} of 100 recordings."
