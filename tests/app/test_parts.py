"""Long recordings as parts, and the line below the player."""

import math
from dataclasses import replace

import numpy as np
import pytest

from app.colours import COLOURS, colour_of
from app.parts import parts_of, smoothing_seconds
from app.player import parts_in_words, player_data
from ser.corpora.ravdess import EMOTIONS
from tests.predictions import prediction_of

SAD, HAPPY = (np.eye(len(EMOTIONS), dtype=np.float32)[EMOTIONS.index(name)] for name in ("sad", "happy"))


def at(prediction, *times):
    """The prediction, its utterances at other times: (start, end) each."""
    pairs = zip(prediction.segments, times, strict=True)
    moved = tuple(replace(segment, start=start, end=end, speech=end - start) for segment, (start, end) in pairs)
    return replace(prediction, segments=moved, duration=times[-1][1] + 1)


def test_three_utterances_are_shown_as_they_are():
    parts = parts_of(at(prediction_of(SAD, HAPPY, SAD), (0, 1), (2, 3), (4, 5)))
    assert [(part.start, part.end, part.emotion, part.confidence) for part in parts] == [
        (0, 1, "sad", 1), (2, 3, "happy", 1), (4, 5, "sad", 1),
    ]  # fmt: skip


def test_neighbours_of_one_emotion_are_one_part_whose_confidence_is_weighted_by_speech():
    unsure = 0.6 * SAD + 0.4 * HAPPY
    (part,) = parts_of(at(prediction_of(SAD, unsure), (0, 1), (2, 5)))
    assert (part.start, part.end, part.emotion) == (0, 5, "sad")
    assert part.confidence == pytest.approx((1 * 1 + 3 * 0.6) / 4)


def test_a_long_pause_ends_a_part():
    assert len(parts_of(at(prediction_of(SAD, SAD), (0, 1), (5.9, 7)))) == 1
    assert len(parts_of(at(prediction_of(SAD, SAD), (0, 1), (6.1, 7)))) == 2


def test_one_that_differs_from_all_around_it_makes_no_part_of_its_own():
    times = [(2 * n, 2 * n + 1.5) for n in range(9)]
    assert [part.emotion for part in parts_of(at(prediction_of(*[SAD] * 4, HAPPY, *[SAD] * 4), *times))] == ["sad"]
    halves = parts_of(at(prediction_of(*[SAD] * 5, *[HAPPY] * 4), *times))
    assert [(part.emotion, part.start) for part in halves] == [("sad", 0), ("happy", 10)]


def test_the_smoothing_is_a_normal_curve_of_the_distance():
    times = [(0, 1), (1, 3), (8, 9), (9, 12)]
    prediction = at(prediction_of(SAD, SAD, HAPPY, HAPPY), *times)
    width, speech = smoothing_seconds(prediction), [1, 2, 1, 3]
    assert width == 3
    middles = [0.5, 2, 8.5, 10.5]
    of_sad = []  # of the probability that the smoothing leaves
    for middle in middles:
        weights = [
            n * math.exp(-((middle - one) ** 2) / (2 * width**2)) for n, one in zip(speech, middles, strict=True)
        ]
        of_sad.append(sum(weights[:2]) / sum(weights))
    sad, happy = parts_of(prediction)
    assert (sad.emotion, sad.start, sad.end) == ("sad", 0, 3)
    assert (happy.emotion, happy.start, happy.end) == ("happy", 8, 12)
    assert sad.confidence == pytest.approx((of_sad[0] + 2 * of_sad[1]) / 3)
    assert happy.confidence == pytest.approx(1 - (of_sad[2] + 3 * of_sad[3]) / 4)


def test_a_recording_of_minutes_is_smoothed_the_more():
    times = [(3 * n, 3 * n + 2) for n in range(200)]
    prediction = at(prediction_of(*[SAD, SAD, SAD, HAPPY] * 50), *times)
    assert smoothing_seconds(prediction) == pytest.approx(prediction.duration / 60)
    assert [part.emotion for part in parts_of(prediction)] == ["sad"]


def test_no_speech_has_no_parts():
    assert parts_of(prediction_of()) == []
    assert parts_in_words(prediction_of()) == ""


def test_the_line_holds_the_waveform_and_the_parts(readings):
    reading = readings[1]
    data = player_data(reading.prediction, reading.picture)
    assert data["duration"] == 8
    assert len(data["edges"]) == len(data["peaks"]) + 1
    assert (data["edges"][0], data["edges"][-1]) == (0, 8)
    assert max(data["peaks"]) == 1
    assert min(data["peaks"]) >= 0
    parts = parts_of(reading.prediction)
    assert [one["emotion"] for one in data["parts"]] == [part.emotion for part in parts]
    assert [one["colour"] for one in data["parts"]] == [COLOURS[part.emotion] for part in parts]
    assert data["parts"][0]["time"].startswith("0:00 to 0:0")
    n_utterances = len(reading.prediction.segments)
    assert parts_in_words(reading.prediction).startswith(f"{n_utterances} utterances, each smoothed")


def test_no_two_emotions_have_the_same_colour():
    assert set(COLOURS) == set(EMOTIONS)
    assert len(set(COLOURS.values())) == len(EMOTIONS)
    own = ("happy", "bored", "tired")
    assert len({colour_of(name, own) for name in own}) == 3
