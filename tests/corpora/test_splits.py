from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from ser.corpora.ravdess import EMOTIONS
from ser.corpora.splits import FOLDS, Fold, random_split, speaker_split
from ser.errors import SettingsError

ALL = set(range(1, 25))
SUBJECT_WISE = [{2, 5, 14, 15, 16}, {3, 6, 7, 13, 18}, {10, 11, 12, 19, 20}, {8, 17, 21, 23, 24}, {1, 4, 9, 22}]
EMOBOX = [{1, 11, 20, 21}, {4, 10, 12, 14}, {8, 9, 19, 23}, {3, 5, 7, 24}, {2, 15, 16, 18}, {6, 13, 17, 22}]


def actors(recordings):
    return {int(recording.speaker) for recording in recordings}


def numbers(speakers):
    return {int(speaker) for speaker in speakers}


def test_the_actors_are_those_of_the_literature():
    for family in (SUBJECT_WISE, EMOBOX):
        assert sorted(actor for fold in family for actor in fold) == sorted(ALL)
    assert [numbers(FOLDS[f"subject_wise_{n}"].test) for n in range(5)] == SUBJECT_WISE
    assert [numbers(FOLDS[f"emobox_{n}"].test) for n in range(6)] == EMOBOX
    validation = [numbers(FOLDS[f"subject_wise_{n}"].validation) for n in range(5)]
    assert validation == [{3, 6}, {10, 11}, {8, 17}, {1, 14}, {2, 5}]
    for number in range(6):  # ours: a man and a woman
        assert sorted(int(actor) % 2 for actor in FOLDS[f"emobox_{number}"].validation) == [0, 1]
    audeering = FOLDS["audeering"]
    assert (numbers(audeering.validation), numbers(audeering.test)) == ({16, 17, 19, 20}, {21, 22, 23, 24})
    assert len(FOLDS) == 5 + 6 + 1


@pytest.mark.parametrize("name", FOLDS)
def test_a_fold_holds_its_actors_out_in_both_channels(ravdess_recordings, name):
    fold = FOLDS[name]
    split = speaker_split(ravdess_recordings, fold)
    parts = (split.train, split.validation, split.test)
    assert actors(split.validation) == numbers(fold.validation)
    assert actors(split.test) == numbers(fold.test)
    assert actors(split.train) == ALL - numbers(fold.validation) - numbers(fold.test)
    assert sorted(r.id for part in parts for r in part) == [r.id for r in ravdess_recordings]
    assert {recording.channel for recording in split.train} == {"speech", "song"}


def test_a_part_without_actors_is_empty_and_one_whose_actors_have_no_recordings_is_refused(ravdess_recordings):
    split = speaker_split(ravdess_recordings, Fold(validation=("01", "02"), test=()))
    assert split.test == ()
    assert actors(split.train) == ALL - {1, 2}
    some = [recording for recording in ravdess_recordings if int(recording.speaker) <= 4]
    with pytest.raises(SettingsError, match="no test recordings: the corpus has none of speakers 23, 24"):
        speaker_split(some, Fold(validation=("01",), test=("23", "24")))
    with pytest.raises(SettingsError, match="fold holds out all speakers"):
        speaker_split(some, Fold(validation=("01", "02"), test=("03", "04")))


def test_the_random_split_is_that_of_the_reference_implementation(ravdess_recordings):
    split = random_split(ravdess_recordings, seed=42)
    assert (len(split.train), len(split.validation), len(split.test)) == (1961, 491, 0)
    support = Counter(recording.emotion for recording in split.validation)
    assert [support[emotion] for emotion in EMOTIONS] == [38, *[75] * 5, 39, 39]

    stems, labels = zip(*((recording.id, recording.emotion) for recording in ravdess_recordings), strict=True)
    train, test = train_test_split(np.array(stems), test_size=0.2, random_state=42, stratify=labels)
    assert [r.id for r in split.train] == list(train)
    assert [r.id for r in split.validation] == list(test)


def test_the_random_split_follows_its_seed_and_an_inner_validation_part_leaves_the_test_part(ravdess_recordings):
    plain = random_split(ravdess_recordings, seed=3)
    assert plain == random_split(ravdess_recordings, seed=3) != random_split(ravdess_recordings, seed=1)
    inner = random_split(ravdess_recordings, seed=3, val_size=0.25)
    assert inner.test == plain.validation
    assert {r.id for r in inner.train} | {r.id for r in inner.validation} == {r.id for r in plain.train}
    assert len(inner.validation) == 491  # a quarter of 1,961, rounded up
    assert not {r.id for r in inner.train} & {r.id for r in inner.validation}


def test_too_few_recordings_for_a_random_split_are_refused(ravdess_recordings):
    one_each = [r for r in ravdess_recordings if r.id.endswith("01-01-01-01") and r.channel == "speech"]
    with pytest.raises(SettingsError, match="8 recordings cannot be split so that every emotion is in both parts"):
        random_split(one_each, seed=42)
