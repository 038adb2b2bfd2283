from pathlib import Path
from unittest.mock import call, create_autospec

import pytest

from ser.corpora.download import download_corpus
from ser.corpora.manifest import Recording
from ser.corpora.protocol import describe_split
from ser.corpora.ravdess import EMOTIONS
from ser.corpora.reading import find_recordings, locate_corpus
from ser.corpora.selection import DataSettings, augmented_copies, of_channel, select
from ser.corpora.splits import FOLDS, fold_of_speakers
from ser.corpora.synthetic import SyntheticSettings
from ser.errors import CorpusError, SettingsError
from ser.features.validation import read_settings


def channels(recordings):
    return {recording.channel for recording in recordings}


@pytest.mark.parametrize(("channel", "scored"), [("speech", None), ("song", None), ("speech", "song")])
@pytest.mark.parametrize("split", [{"split": "random"}, {"split": "speaker", "fold": 1}])
def test_one_channel_is_trained_on_and_one_scored(ravdess_recordings, channel, scored, split):
    chosen = select(ravdess_recordings, DataSettings(channel=channel, score_channel=scored, **split))
    assert channels(chosen.train) == {channel}
    assert channels(chosen.validation) == {scored or channel}


@pytest.mark.parametrize("fold", [0, "emobox_3", "audeering"])
@pytest.mark.parametrize("channel", ["both", "speech", "song"])
@pytest.mark.parametrize("score_channel", [None, "speech"])
def test_test_actors_are_unseen_in_either_channel(ravdess_recordings, fold, channel, score_channel):
    settings = DataSettings(split="speaker", fold=fold, channel=channel, score_channel=score_channel)
    unseen = {*settings.named_fold.validation, *settings.named_fold.test}
    chosen = select(ravdess_recordings, settings)
    assert not {recording.speaker for recording in chosen.train} & unseen
    assert {recording.speaker for recording in (*chosen.validation, *chosen.test)} <= unseen


def test_the_scored_channel_changes_validation_and_test_alone(ravdess_recordings):
    for split in ({"split": "random"}, {"split": "speaker", "fold": 2}):
        both = select(ravdess_recordings, DataSettings(**split))
        speech = select(ravdess_recordings, DataSettings(**split, score_channel="speech"))
        assert speech.train == both.train
        assert speech.validation == of_channel(both.validation, "speech")


def test_only_the_chosen_classes_are_selected_in_ravdess_order(ravdess_recordings):
    chosen = select(ravdess_recordings, DataSettings(classes=EMOTIONS[1:]))
    assert (len(chosen.train), len(chosen.validation)) == (1811, 453)
    assert {recording.emotion for recording in chosen.train} == set(EMOTIONS[1:])
    assert DataSettings(classes=("sad", "neutral", "happy")).classes == ("neutral", "happy", "sad")


def test_nothing_left_is_refused(ravdess_recordings):
    with pytest.raises(CorpusError, match="no recording of song"):
        select(ravdess_recordings, DataSettings(channel="song", classes=("disgust", "surprise")))
    # Actor 18 sings nothing, so there is nothing to score.
    only_18 = DataSettings(split="speaker", validation_speakers=(18,), score_channel="song")
    with pytest.raises(CorpusError, match="validation part holds no recordings"):
        select(ravdess_recordings, only_18)


def test_copies_are_counted_by_emotion(ravdess_recordings):
    settings = DataSettings(augment_count=1, oversample={"neutral": 2})
    counts = {r.emotion: augmented_copies(r, settings) for r in ravdess_recordings}
    assert counts == {emotion: 3 if emotion == "neutral" else 1 for emotion in EMOTIONS}


@pytest.mark.parametrize(("values", "message"), [
    ({"split": "speaker"}, "data.fold is needed with data.split=speaker"),
    ({"split": "speaker", "fold": 5}, "data.fold is 5; did you mean 'subject_wise_"),
    ({"split": "speaker", "fold": "emobox_6"}, "data.fold is 'emobox_6'; did you mean 'emobox_"),
    ({"split": "speaker", "fold": 0, "test_speakers": [3]}, "not both"),
    ({"split": "speaker", "validation_speakers": [1, 2], "test_speakers": [2]},
     r"data.fold has speakers \['02'\] in validation and in test"),
    ({"split": "speaker", "test_speakers": [2]}, "data.validation_speakers is empty"),
    ({"split": "speaker", "validation_speakers": [0, 25]}, r"data.fold has actors 00, 25; RAVDESS has 1 to 24"),
    ({"split": "speaker", "validation_speakers": list(range(1, 25))}, "data.fold holds out all actors"),
    ({"fold": 0}, "data.split is 'random', which takes no fold"),
    ({"split": "all", "fold": 0}, "data.split is 'all', which takes no fold"),
    ({"classes": ["happy", "angy"]}, "data.classes has 'angy'; did you mean 'angry'"),
    ({"classes": ["happy", "happy"]}, "data.classes names one twice"),
    ({"classes": ["happy"]}, "data.classes is \\['happy'\\], but should be a list of at least 2"),
    ({"oversample": {"netral": 1}}, "data.oversample has 'netral'; did you mean 'neutral'"),
    ({"oversample": {"neutral": -1}}, "data.oversample.neutral is -1"),
    ({"channel": "sing"}, "data.channel is 'sing'"),
    ({"synthetic": {"n_actors": 25}}, "data.synthetic.n_actors is 25"),
    *(({key: 1.0}, f"data.{key} is 1.0") for key in ("test_size", "val_size")),
    *(({key: -1}, f"data.{key} is -1") for key in ("augment_count", "workers", "split_seed")),
    ({"batch_size": 0}, "data.batch_size is 0"),
])  # fmt: skip
def test_bad_settings_are_refused_in_one_sentence_that_begins_with_the_key(values, message):
    with pytest.raises(SettingsError, match=message) as refused:
        read_settings(DataSettings, values, where="data")
    assert str(refused.value).startswith("data.")
    assert "data.data" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("values", "keeps_last", "sentence"), [
    ({"split": "speaker", "fold": 0, "channel": "speech"}, False,
     "Speaker-independent, speech: test actors 2, 5, 14, 15, 16 are unseen in training; the checkpoint was chosen on "
     "validation actors 3, 6."),
    ({"split": "speaker", "fold": 0}, True,
     "Speaker-independent, speech and song: test actors 2, 5, 14, 15, 16 are unseen in training; so are validation "
     "actors 3, 6; the last epoch was kept."),
    ({"channel": "song"}, False,
     "Speaker-dependent, song: random split, 20% of the recordings are held out (seed 42), every test speaker is seen "
     "in training; the checkpoint was chosen on these same recordings, as in the reference implementation; expect "
     "lower scores on unseen speakers."),
    ({}, True, "; all other recordings were trained on, and the last epoch was kept."),
    ({"val_size": 0.1}, False, "; the checkpoint was chosen on 10% of the training part."),
    ({"val_size": 0.1}, True, "; the last epoch was kept, validated on 10% of the training part."),
])  # fmt: skip
def test_the_protocol_names_the_split_and_what_chooses_the_checkpoint(values, keeps_last, sentence):
    assert describe_split(DataSettings(**values), keeps_last=keeps_last).endswith(sentence)


def test_split_all_trains_on_everything(ravdess_recordings):
    settings = DataSettings(split="all", score_channel="speech")
    split = select(ravdess_recordings, settings)
    assert split.train == tuple(ravdess_recordings)
    assert split.validation == split.test == ()
    assert "of seen recordings" in describe_split(settings)


def test_a_named_root_is_used_and_never_downloaded_into(tiny_corpus, tmp_path, monkeypatch):
    assert locate_corpus(DataSettings(root=str(tiny_corpus)), data_dir=tmp_path) == tiny_corpus
    monkeypatch.delenv("RAVDESS_ROOT", raising=False)
    missing = tmp_path / "missing"
    with pytest.raises(CorpusError, match="is not a folder") as refused:
        locate_corpus(DataSettings(root=str(missing)), data_dir=tmp_path)
    assert str(missing) in str(refused.value)
    with pytest.raises(CorpusError, match="ravdess is not a folder"):
        locate_corpus(DataSettings(download=False), data_dir=tmp_path)
    monkeypatch.setenv("RAVDESS_ROOT", str(missing))
    with pytest.raises(CorpusError, match="missing is not a folder"):
        locate_corpus(DataSettings(), data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("settings", "there", "missing"), [
    ({}, [], ("speech", "song")),
    ({}, ["01"], ("song",)),
    ({}, ["01", "02"], None),
    ({"channel": "speech"}, ["01"], None),
    ({"channel": "speech", "score_channel": "both"}, ["01"], ("song",)),
])  # fmt: skip
def test_only_the_channels_that_are_missing_are_downloaded(tmp_path, monkeypatch, settings, there, missing):
    monkeypatch.delenv("RAVDESS_ROOT", raising=False)
    download = create_autospec(download_corpus)
    monkeypatch.setattr("ser.corpora.download.download_corpus", download)
    root = tmp_path / "ravdess"
    root.mkdir()
    for channel in there:
        (root / f"03-{channel}-01-01-01-01-01.wav").touch()
    assert locate_corpus(DataSettings(**settings), data_dir=tmp_path) == root
    assert download.mock_calls == ([call(root, channels=missing)] if missing else [])


def test_synthetic_corpora_of_other_settings_lie_apart(tmp_path):
    def root(seed):
        settings = SyntheticSettings(n_actors=1, n_statements=1, n_repetitions=1, seed=seed)
        return locate_corpus(DataSettings(corpus="synthetic", synthetic=settings), data_dir=tmp_path)

    assert root(0) == root(0)
    assert root(0) != root(1)
    assert len(find_recordings(root(0))) == len(find_recordings(root(1))) == 15


def test_a_fold_of_several_corpora_is_the_fold_of_each():
    def of(corpus, speakers):
        return [
            Recording(
                path=Path(f"{corpus}/{s}-{e}.wav"),
                id=f"{corpus}/{s}-{e}",
                speaker=f"{corpus}/{s}",
                emotion=e,
                corpus=corpus,
            )
            for s in speakers
            for e in ("sad", "happy")
        ]

    actors, others = of("ravdess", [f"{n:02d}" for n in range(1, 25)]), of("mine", "abcdefghij")
    both = {"corpora": {"ravdess": "a", "mine": "b.csv"}, "split": "speaker", "classes": ("sad", "happy")}
    tested = []
    for fold in range(5):
        split = select(actors + others, DataSettings(**both, fold=fold))
        alone = fold_of_speakers(others, n_folds=5, fold=fold, seed=42)
        known = FOLDS[f"subject_wise_{fold}"]
        for part, of_actors, of_others in (
            (split.test, known.test, alone.test),
            (split.validation, known.validation, alone.validation),
        ):
            assert {r.speaker for r in part} == {f"ravdess/{one}" for one in of_actors} | set(of_others)
        tested += [r.speaker for r in split.test]
    assert len(tested) == len(set(tested)) * 2 == 2 * 34
    split = select(actors + others, DataSettings(**both, fold=1, n_folds=3))
    assert {r.speaker for r in split.test if r.corpus == "ravdess"} == set(
        fold_of_speakers(actors, n_folds=3, fold=1, seed=42).test
    )
    few = of("mine", "abc")
    tested = [select(actors + few, DataSettings(**both, fold=fold)).test for fold in range(5)]
    assert [len({r.speaker for r in test if r.corpus == "mine"}) for test in tested] == [1, 1, 1, 0, 0]
    two = select(actors + of("mine", "ab"), DataSettings(**both, fold=0))
    assert {r.speaker for r in two.train if r.corpus == "mine"} == {"mine/a", "mine/b"}
