from dataclasses import replace

import numpy as np
import pytest

from app.facts import KnownScores
from app.words import clock, headline, how_often_right, how_sure, percent, sounds
from ser.corpora.ravdess import EMOTIONS
from tests.predictions import prediction_of


def likely(name, probability):
    """Probabilities of the classes: that of one, and the rest evenly."""
    rest = (1 - probability) / (len(EMOTIONS) - 1)
    return np.array([probability if one == name else rest for one in EMOTIONS])


def scores(**given):
    known = {"part": "Test", "protocol": "Random split.", "n_recordings": 10, "accuracy": 0.6745, "uar": 0.6}
    return KnownScores(**{**known, **given})


def test_a_percentage_is_never_none_and_never_all():
    assert [percent(p) for p in (0, 0.009, 0.01, 0.126, 0.99, 0.991, 1)] == [
        "under 1%", "under 1%", "1%", "13%", "99%", "over 99%", "over 99%",
    ]  # fmt: skip


def test_a_clock_never_shows_sixty_seconds():
    assert [clock(seconds) for seconds in (0, 59.4, 59.6, 599.9)] == ["0:00", "0:59", "1:00", "10:00"]


def test_every_emotion_has_an_adjective():
    assert [sounds(name) for name in EMOTIONS] == [
        "neutral", "calm", "happy", "sad", "angry", "fearful", "disgusted", "surprised",
    ]  # fmt: skip
    assert sounds("Anger") == "angry"
    assert sounds("class 7") == "“class 7”"


def test_the_answer_is_a_sentence_of_its_own():
    sad, happy = likely("sad", 0.8), likely("happy", 0.7)
    assert headline(prediction_of(sad)) == "Sounds sad"
    assert headline(prediction_of(sad, sad)) == "Sounds sad"
    assert headline(prediction_of(sad, sad, happy)) == "Sounds sad on the whole"
    assert headline(replace(prediction_of(sad), rejection_threshold=0.9)) == "Hard to tell, perhaps sad"
    assert headline(prediction_of()) == "No speech found"


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.3, "Rather unsure"), (0.5, "Fairly sure"), (0.71, "Sure"), (0.95, "Very sure"), (1.0, "Very sure")],
)
def test_how_sure_it_is_follows_the_confidence(probability, words):
    assert how_sure(prediction_of(likely("sad", probability))) == f"{words}: {percent(probability)}."


def test_below_the_threshold_it_is_not_sure_and_says_where_that_lies():
    unsure = replace(prediction_of(likely("sad", 0.3)), rejection_threshold=0.36)
    assert how_sure(unsure) == "Not sure: 30%. Below 36%, this model gives no clear answer."


def test_without_speech_it_says_what_to_do():
    assert "Was the microphone muted" in how_sure(prediction_of())
    assert "Speak a whole sentence" in how_sure(replace(prediction_of(), speech=0.2))


def test_how_often_it_is_right_is_told_with_what_that_is_of():
    recipe = "Networks of the same recipe, not this file itself"
    unseen = scores(part=recipe, protocol="Speaker-independent, speech.")
    of_unseen = "On unseen speakers, models trained like this one were right in 67 of 100 recordings."
    assert how_often_right([unseen]) == of_unseen
    other = scores(part=recipe, protocol="Cross-corpus, speech.", accuracy=0.5)
    of_other = "On speakers of unseen corpora, models trained like this one were right in 50 of 100 recordings."
    assert how_often_right([unseen, other]) == f"{of_unseen} {of_other}"
    assert how_often_right([scores()]) == "In its test, this model was right in 67 of 100 recordings."
    assert "unseen" not in how_often_right([scores(part=recipe)])
    assert how_often_right([]) == ""
