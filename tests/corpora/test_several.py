"""Several corpora at once: where they lie, whose recordings are whose, what each lacks, how often each is drawn."""

from collections import Counter

import pytest

from ser.corpora.manifest import Recording
from ser.corpora.protocol import describe_split
from ser.corpora.selection import DataSettings, classes_found, select
from ser.corpora.several import allowed_classes, expected_draws, locate_corpora, read_corpora
from ser.errors import CorpusError, SettingsError

CREMAD = [f"10{actor:02d}_DFA_{code}_XX.wav" for actor in range(1, 7) for code in ("ANG", "HAP", "NEU")]
MINE = [
    f"{speaker}/{label}.wav,{label},{speaker}" for speaker in ("1001", "b", "c") for label in ("calm", "angry", "odd")
]


@pytest.fixture
def places(tmp_path):
    """CREMA-D by its names, and a manifest that uses one of its speakers' names; the files hold no sound."""
    names = [tmp_path / "cremad" / name for name in CREMAD]
    names += [tmp_path / "mine" / row.partition(",")[0] for row in MINE]
    for path in names:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(path.name.encode())
    table = tmp_path / "mine" / "labels.csv"
    table.write_text("\n".join(["file,emotion,speaker", *MINE]), encoding="utf-8")
    return {"cremad": str(tmp_path / "cremad"), "mine": str(table)}


def settings_of(corpora, **others):
    return DataSettings(corpora=corpora, channel="speech", **others)


def recordings_of(settings, tmp_path):
    return read_corpora(settings, locate_corpora(settings, data_dir=tmp_path / "none"))


def rows(counts):
    """Recordings without files: (corpus, emotion) -> how many."""
    return [
        Recording(
            path="x.wav", id=f"{corpus}/{emotion}{n}", emotion=emotion, speaker=f"{corpus}/{n % 4}", corpus=corpus
        )
        for (corpus, emotion), count in counts.items()
        for n in range(count)
    ]


def test_ids_and_speakers_of_two_corpora_never_meet(places, tmp_path):
    recordings = recordings_of(settings_of(places), tmp_path)
    assert Counter(recording.corpus for recording in recordings) == {"cremad": 18, "mine": 9}
    assert len({recording.id for recording in recordings}) == 27
    assert {recording.speaker for recording in recordings if recording.corpus == "mine"} == {
        "mine/1001", "mine/b", "mine/c"
    }  # fmt: skip
    assert "cremad/1001_DFA_ANG_XX" in {recording.id for recording in recordings}


def test_a_folder_comes_from_the_environment_or_from_the_data_folder(places, tmp_path, monkeypatch):
    settings = settings_of(["cremad", "tess"])
    monkeypatch.setenv("CREMAD_ROOT", places["cremad"])
    with pytest.raises(CorpusError, match=r"none/tess is not a folder; set data.root or TESS_ROOT"):
        locate_corpora(settings, data_dir=tmp_path / "none")
    (tmp_path / "none" / "tess").mkdir(parents=True)
    found = locate_corpora(settings, data_dir=tmp_path / "none")
    assert found == {"cremad": tmp_path / "cremad", "tess": tmp_path / "none" / "tess"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corpora": []}, r"corpora is \[\]; name two or more, each once, as in data.corpora=\[ravdess,cremad\]"),
        ({"corpora": ["cremad"]}, r"corpora is \['cremad'\]; name two or more"),
        ({"corpora": ["cremad", "cremad"]}, "name two or more, each once"),
        ({"corpora": ["cremad", "tess"], "root": "x"}, "leave out data.root"),
        ({"corpora": {"cremad": None, "a/b": "x.csv"}}, "'a/b'; a name is printable and has no slash"),
        ({"corpora": ["cremad", "tess"], "weights": {"tes": 1.0}}, "weights has 'tes'; did you mean 'tess'"),
        ({"corpora": ["cremad", "tess"], "weights": {"tess": 1.0}}, "weights lacks cremad"),
        ({"corpora": ["cremad", "tess"], "split": "corpus"}, "test_corpora and data.split=corpus belong together"),
        ({"corpora": ["cremad", "tess"], "test_corpora": ["tess"]}, "belong together"),
        (
            {"corpora": ["cremad", "tess"], "split": "corpus", "test_corpora": ["tess", "cremad"]},
            "holds out all corpora",
        ),
        ({"corpora": ["cremad", "tess"], "split": "corpus", "test_corpora": ["x"]}, "test_corpora has 'x'"),
        ({"weights": "equal"}, "weights is for data.corpora alone"),
        ({"overlapping_classes": {"neutral": ["calm"]}}, "overlapping_classes is for data.corpora alone"),
        ({"split": "corpus", "test_corpora": ["ravdess"]}, "need several corpora"),
        (
            {"corpora": ["cremad", "tess"], "split": "speaker", "fold": "emobox_0"},
            "a fold of RAVDESS, which is not among data.corpora",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        DataSettings(**settings)


def test_a_name_that_is_no_corpus_needs_a_manifest_and_a_place_is_named_once(places, tmp_path):
    with pytest.raises(SettingsError, match=r"'mine', which is no corpus by name .*data.corpora=\{mine: labels.csv\}"):
        locate_corpora(settings_of(["cremad", "mine"]), data_dir=tmp_path)
    with pytest.raises(SettingsError, match="twice, as cremad and as nemo"):
        locate_corpora(settings_of({"cremad": places["cremad"], "nemo": places["cremad"]}), data_dir=tmp_path)


def test_one_label_map_holds_for_all(places, tmp_path):
    recordings = recordings_of(settings_of(places, label_map={"odd": None, "happy": "glad"}), tmp_path)
    assert {recording.emotion for recording in recordings} == {"angry", "calm", "glad", "neutral"}
    with pytest.raises(SettingsError, match=r"data\.label_map has .hapy"):
        recordings_of(settings_of(places, label_map={"hapy": None}), tmp_path)


def test_a_corpus_left_out_has_no_speaker_in_training_and_brings_no_class(places, tmp_path):
    settings = settings_of(places, split="corpus", test_corpora=["cremad"], n_folds=3)
    recordings = recordings_of(settings, tmp_path)
    assert classes_found(recordings, settings) == ("calm", "angry", "odd")
    split = select(recordings, settings)
    assert {r.corpus for r in split.test} == {"cremad"}
    assert Counter(r.emotion for r in split.test) == {"angry": 6}  # nothing else of it is a class of the model
    assert {r.corpus for r in (*split.train, *split.validation)} == {"mine"}
    assert len({r.speaker for r in split.validation}) == 1
    assert not {r.speaker for r in split.train} & {r.speaker for r in split.validation}
    sentence = describe_split(settings, split)
    assert "tested on all of cremad (6 recordings of the model's classes), unseen in training" in sentence
    assert sentence.endswith("Trained on the corpus mine.")


def test_the_known_classes_are_those_of_the_training_corpora():
    corpora = ["ravdess", "cremad", "nemo"]
    assert len(DataSettings(corpora=corpora).classes) == 8
    left_out = DataSettings(corpora=corpora, split="corpus", test_corpora=["ravdess"]).classes
    assert left_out == ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprise")


def test_a_fold_by_name_holds_actors_out_of_several_corpora():
    fold = DataSettings(corpora=["ravdess", "cremad"], split="speaker", fold="emobox_0").named_fold
    assert fold.test == ("ravdess/01", "ravdess/11", "ravdess/20", "ravdess/21")


def test_speakers_that_nobody_names_are_trained_on_and_validation_needs_some(places, tmp_path):
    settings = settings_of(places, split="corpus", test_corpora=["cremad"])
    table = tmp_path / "mine" / "labels.csv"
    table.write_text(table.read_text().replace(",c\n", ",\n").replace(",b\n", ",\n").removesuffix(",c") + ",")
    with pytest.raises(CorpusError, match="have 1 speakers, but validation needs one of two or more"):
        select(recordings_of(settings, tmp_path), settings)


def test_only_a_class_that_a_corpus_lacks_is_not_allowed():
    both = rows({("a", "sad"): 3, ("a", "happy"): 3, ("b", "happy"): 2, ("b", "sad"): 1})
    assert allowed_classes(both, ("happy", "sad")) is None
    lacking = rows({("a", "sad"): 3, ("a", "happy"): 3, ("b", "happy"): 2})
    assert allowed_classes(lacking, ("happy", "sad")) == {
        ("a", "happy"): (True, True),
        ("a", "sad"): (True, True),
        ("b", "happy"): (True, False),
    }


def test_a_class_that_a_corpus_lacks_is_a_wrong_answer_but_where_it_may_be_right():
    pairs = [("a", "neutral"), ("a", "calm"), ("a", "sad"), ("b", "neutral"), ("b", "sad")]
    recordings = rows(dict.fromkeys(pairs, 1))
    found = allowed_classes(recordings, ("neutral", "calm", "sad"), {"neutral": ["calm"], "bored": ["sad"]})
    assert found == dict.fromkeys(pairs, (True, True, True)) | {("b", "neutral"): (True, False, True)}
    assert allowed_classes(recordings, ("neutral", "calm", "sad"), {}) is None


@pytest.mark.parametrize(
    ("weights", "shares"),
    [("equal", (0.5, 0.5)), ("sqrt", (2 / 3, 1 / 3)), ({"cremad": 1.0, "tess": 3.0}, (0.25, 0.75))],
)
def test_shares_of_an_epoch(weights, shares):
    draws = expected_draws(["cremad"] * 64 + ["tess"] * 16, DataSettings(corpora=["cremad", "tess"], weights=weights))
    assert 64 * draws["cremad"] == pytest.approx(80 * shares[0])
    assert 16 * draws["tess"] == pytest.approx(80 * shares[1])
    assert expected_draws(["cremad"], DataSettings()) is None
