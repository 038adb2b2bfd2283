from collections import Counter

import pytest

from ser.corpora.ravdess import EMOTIONS, RecordingName, expected_names, parse_stem


def test_every_field_of_a_name_is_read():
    assert parse_stem("03-02-05-02-01-02-24") == RecordingName(
        channel="song", emotion="angry", intensity="strong", statement=1, repetition=2, actor=24
    )
    assert parse_stem("03-01-01-01-02-01-07") == RecordingName("speech", "neutral", "normal", 2, 1, 7)
    assert [parse_stem(f"03-01-01-01-01-01-{actor}").gender for actor in (11, 12)] == ["male", "female"]


def test_classes_stand_in_the_order_of_their_codes():
    parsed = [parse_stem(f"03-01-0{code}-01-01-01-01").emotion for code in range(1, 9)]
    assert parsed == ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprise"] == list(EMOTIONS)


@pytest.mark.parametrize("stem", [
    "01-01-06-01-02-01-12",  # with video
    "02-01-06-01-02-01-12",  # video alone
    "03-03-06-01-02-01-12", "03-01-09-01-02-01-12", "03-01-00-01-02-01-12", "03-01-06-03-02-01-12",
    "03-01-06-01-03-01-12", "03-01-06-01-02-03-12", "03-01-06-01-02-01-25", "03-01-06-01-02-01-00",
    "03-01-06-01-02-01", "03-01-06-01-02-01-12-01", "3-1-6-1-2-1-12", "03-01-06-01-02-01-12\n",
    "03_01_06_01_02_01_12",
    "03-01-06-01-02-01-1\u0662",  # a digit, but not one of ours
    "my_voice", "",
])  # fmt: skip
def test_other_names_are_not_recordings(stem):
    assert parse_stem(stem) is None


@pytest.mark.parametrize("channel", ["speech", "song"])
def test_stems_and_names_are_each_others_inverse(channel):
    names = expected_names(channel)
    assert [parse_stem(name.stem) for name in names] == names
    assert len({name.stem for name in names}) == len(names)


@pytest.mark.parametrize(
    ("channel", "total", "by_emotion", "actors", "each"),
    [("speech", 1440, [96, *[192] * 7], 24, 60), ("song", 1012, [92, *[184] * 5, 0, 0], 23, 44)],
)
def test_the_complete_corpus_has_the_counts_of_its_publisher(channel, total, by_emotion, actors, each):
    names = expected_names(channel)
    assert len(names) == total
    assert [sum(name.emotion == emotion for name in names) for emotion in EMOTIONS] == by_emotion
    by_actor = Counter(name.actor for name in names)
    assert len(by_actor) == actors
    assert set(by_actor.values()) == {each}
    assert names == sorted(names)
    assert {name.channel for name in names} == {channel}
    assert {(name.statement, name.repetition) for name in names} == {(1, 1), (1, 2), (2, 1), (2, 2)}
