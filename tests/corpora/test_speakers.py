"""Splits and protocols of any corpus: by speakers, by the corpus itself, and without speakers."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ser.corpora.manifest import Recording
from ser.corpora.protocol import describe_split
from ser.corpora.selection import DataSettings, class_order, select
from ser.corpora.splits import Split, _dealt, fold_of_speakers, official_split
from ser.errors import CorpusError, SettingsError


def corpus(n_speakers=11, n=300, *, classes=("bored", "sad", "happy"), seed=0, **facts):
    """Recordings whose speakers and classes are drawn by chance, some speakers far more often than others."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(n_speakers, 2.0))
    return [
        Recording(
            path=Path(f"{number}.wav"),
            id=f"{number}.wav",
            emotion=str(rng.choice(classes)),
            speaker=f"s{rng.choice(n_speakers, p=weights)}" if number >= n_speakers else f"s{number}",
            **facts,
        )
        for number in range(n)
    ]


def settings(**values):
    return DataSettings(corpus="manifest", manifest="labels.csv", channel="speech", **values)


def speakers(part):
    return {recording.speaker for recording in part}


@pytest.mark.parametrize(("n_speakers", "n_folds"), [(11, 5), (5, 5), (4, 3), (3, 3), (40, 10)])
def test_each_speaker_is_tested_in_one_fold_and_is_in_one_part_of_each(n_speakers, n_folds):
    recordings = corpus(n_speakers)
    splits = [select(recordings, settings(split="speaker", fold=fold, n_folds=n_folds)) for fold in range(n_folds)]
    tested = Counter(speaker for split in splits for speaker in speakers(split.test))
    assert tested == Counter(speakers(recordings))
    for split in splits:
        parts = [speakers(part) for part in (split.train, split.validation, split.test)]
        assert all(parts)
        assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
        assert len(split.train) + len(split.validation) + len(split.test) == len(recordings)


def test_folds_are_alike_in_classes_and_follow_their_seed():
    recordings = corpus(60, 3000)
    folds = [fold_of_speakers(recordings, n_folds=5, fold=fold, seed=1) for fold in range(5)]
    assert folds == [fold_of_speakers(recordings, n_folds=5, fold=fold, seed=1) for fold in range(5)]
    assert folds[0] != fold_of_speakers(recordings, n_folds=5, fold=0, seed=2)
    for emotion in ("bored", "sad", "happy"):
        counts = [sum(r.speaker in fold.test for r in recordings if r.emotion == emotion) for fold in folds]
        assert max(counts) < 1.5 * min(counts)


def test_too_few_speakers_for_the_folds_and_recordings_without_one_are_refused():
    recordings = corpus(4)
    with pytest.raises(
        SettingsError, match=r"n_folds is 5, but the corpus has 4 speakers \(s0, s1, s2, s3\); give data.n_"
    ):
        select(recordings, settings(split="speaker", fold=0))
    three = corpus(3)
    larger = max(range(2), key=lambda fold: len(_dealt(three, n_folds=2, place=fold, seed=42)))
    with pytest.raises(SettingsError, match="n_folds is 2, which leaves one of 3 speakers; give more folds"):
        select(three, settings(split="speaker", fold=larger, n_folds=2))
    with pytest.raises(SettingsError, match=r"but the corpus has 2 speakers .*; give data.validation_speakers by name"):
        select(corpus(2), settings(split="speaker", fold=0, n_folds=2))
    nameless = [*recordings, Recording(path=Path("x.wav"), id="x.wav", emotion="sad")]
    with pytest.raises(
        CorpusError, match=r"1 of 301 recordings have no speaker, such as x.wav, .* fill the column speaker"
    ):
        select(nameless, settings(split="speaker", fold=0))
    with pytest.raises(SettingsError, match=r"fold is 5; with data\.n_folds=5 there are folds 0 to 4"):
        settings(split="speaker", fold=5)
    with pytest.raises(SettingsError, match="none of speakers s77 in the chosen channel; it has s0, s1, s2, s3"):
        select(recordings, settings(split="speaker", validation_speakers=("s77",)))


def test_speakers_may_be_named():
    split = select(corpus(4), settings(split="speaker", validation_speakers=("s1",), test_speakers=("s2", "s3")))
    assert [speakers(part) for part in (split.train, split.validation, split.test)] == [{"s0"}, {"s1"}, {"s2", "s3"}]
    only = settings(split="speaker", validation_speakers=("s1",))
    text = describe_split(only, select(corpus(4), only))
    unseen = "Speaker-independent, speech: validation speakers s1 are unseen in training and scored"
    assert text == f"{unseen}; they chose the checkpoint too."
    assert describe_split(only, select(corpus(4), only), keeps_last=True).endswith("; the last epoch was kept.")


def test_the_protocol_names_the_speakers_of_a_fold():
    chosen = settings(split="speaker", fold=1, n_folds=3)
    split = select(corpus(4), chosen)
    test, validation = (", ".join(sorted(speakers(part))) for part in (split.test, split.validation))
    assert describe_split(chosen, split) == (
        f"Speaker-independent, speech: fold 1 of 3 (seed 42), test speakers {test} are unseen in training; the "
        f"checkpoint was chosen on validation speakers {validation}."
    )
    many = settings(split="speaker", fold=0, n_folds=2)
    split = select(corpus(40, 900), many)
    assert f" and {len(speakers(split.test)) - 12} more are unseen in training" in describe_split(many, split)


def test_the_official_split_is_that_of_the_corpus():
    parts = ("train", "train", "validation", "test", None)
    recordings = [r for n, part in enumerate(parts) for r in corpus(3, 20, seed=n, split=part)]
    recordings = [
        Recording(path=r.path, id=f"{n}", emotion=r.emotion, speaker=r.speaker, split=r.split)
        for n, r in enumerate(recordings)
    ]
    chosen = settings(split="official")
    split = select(recordings, chosen)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [40, 20, 20]
    assert describe_split(chosen, split) == (
        "Official split of the corpus, speech: 20 recordings are scored, every test speaker is seen in training; the "
        "checkpoint was chosen on its validation part."
    )
    without = [r for r in recordings if r.split != "validation"]
    split = select(without, chosen)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [40, 20, 0]
    assert describe_split(chosen, split).endswith("the checkpoint was chosen on these same recordings.")
    with pytest.raises(
        CorpusError, match=r"names no training part, or nothing to score \(none: 20\); fill the column split"
    ):
        official_split([r for r in recordings if r.split is None])


SEEN = {
    "every test speaker is seen in training": (("a", "b"), ("a", "b")),
    "1 of 2 test speakers are seen in training": (("a", "b"), ("c", "a")),
    "every test speaker is unseen in training": (("a", "b"), ("c",)),
    "the corpus does not name all speakers, so that the tested ones may be seen in training": ((None, "b"), ("c",)),
}


@pytest.mark.parametrize("sentence", SEEN)
def test_the_protocol_of_a_random_split_says_who_was_seen(sentence):
    def part(names, first):
        return tuple(
            Recording(path=Path(), id=f"{first}{n}", emotion="sad", speaker=name) for n, name in enumerate(names)
        )

    of_train, of_test = SEEN[sentence]
    text = describe_split(settings(), Split(train=part(of_train, "train"), validation=part(of_test, "test")))
    dependent = "Speaker-dependent" if sentence.startswith("every test speaker is seen") else "Random"
    how = "random split, 20% of the recordings are held out (seed 42)"
    assert text.startswith(f"{dependent}, speech: {how}, {sentence}")
    assert text.endswith("the checkpoint was chosen on these same recordings; expect lower scores on unseen speakers.")


def test_a_split_at_random_needs_no_speakers_and_classes_may_be_any_words():
    recordings = [Recording(path=Path(), id=str(n), emotion=("très bien", "sad", "amused")[n % 3]) for n in range(60)]
    split = select(recordings, settings())
    assert len(split.validation) == 12
    assert class_order(r.emotion for r in recordings) == ("sad", "amused", "très bien")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"corpus": "manifest"}, "manifest is needed with data.corpus=manifest: the table of your recordings"),
        ({"manifest": "labels.csv"}, "manifest is for data=manifest alone; leave it out"),
        ({"corpus": "ravdes"}, "corpus is 'ravdes'; did you mean 'ravdess'"),
        (
            {"n_folds": 3},
            "split is 'random', which takes no fold and no speakers; give data.fold=null, or data.split=speaker",
        ),
        ({"corpus": "cremad", "classes": ("happy", "surprise")}, "classes has 'surprise'; known are neutral, happy"),
    ],
)
def test_settings_that_do_not_fit_a_corpus_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        DataSettings(**values)


def test_the_classes_of_a_corpus_by_name_are_known_and_those_of_a_manifest_are_not():
    assert DataSettings(corpus="cremad").classes == ("neutral", "happy", "sad", "angry", "fearful", "disgust")
    assert DataSettings(corpus="emodb").classes[-1] == "boredom"
    assert settings().classes is None
    mapped = DataSettings(corpus="turev", label_map={"calm": "neutral", "happy": None})
    assert mapped.classes == ("neutral", "sad", "angry")
    assert all(a != b for a, b in pairwise(mapped.classes))
