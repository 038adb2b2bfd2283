"""Which model is scored, on which recordings, and what is said of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ser.corpora.manifest import Recording
from ser.corpora.reading import find_recordings
from ser.errors import CorpusError, SettingsError
from ser.evaluation.evaluate import EvaluationSettings, evaluate
from ser.evaluation.recordings import describe_labels, describe_left_out, describe_overlap, recordings_of_run
from ser.inference.checkpoint import load_recogniser
from ser.inference.pretrained import DEFAULT_MODEL, write_pretrained
from ser.models.metadata import InitialModel
from ser.models.scored_names import hashes_of
from tests.checkpoints import random_recogniser, write_checkpoint

SEEN = "these very recordings were trained on"


@pytest.fixture
def score(tmp_path, tiny_checkpoint, monkeypatch, undrawn):
    """A function that publishes the tiny model, so described, evaluates by the default, and returns the metrics."""
    monkeypatch.setattr("ser.inference.pretrained.MODELS", tmp_path / "models")
    monkeypatch.delenv("RAVDESS_ROOT", raising=False)

    def publish_and_score(*, metadata, **settings):
        recogniser, described = load_recogniser(tiny_checkpoint)
        described = replace(described, **metadata)
        write_pretrained(tmp_path / "models" / f"{DEFAULT_MODEL}.safetensors", recogniser, described)
        evaluate(EvaluationSettings(output_dir=str(tmp_path / "out"), workers=1, **settings))
        return json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))

    return publish_and_score


@pytest.fixture(scope="module")
def few(tiny_corpus, tmp_path_factory):
    """Eight recordings of speech, and four of song by their names."""
    folder = tmp_path_factory.mktemp("few")
    for path in sorted(tiny_corpus.rglob("03-01-*.wav"))[:8]:
        (folder / path.name).symlink_to(path)
    for path in sorted(folder.iterdir())[:4]:
        (folder / path.name.replace("03-01-", "03-02-", 1)).symlink_to(path.resolve())
    return folder


@pytest.mark.parametrize("way", ["root", "test_dir"])
def test_a_model_that_was_trained_on_everything_says_so(score, few, way):
    metrics = score(metadata={"configuration": {"data": {"channel": "both"}}}, **{way: str(few)})
    assert metrics["n_recordings"] == 12
    assert metrics["protocol"] == (
        f"Recordings in {few}, speech and song. The model was trained on ravdess. The run kept nothing from training: "
        f"by their names, {SEEN}. The metrics show how well the model remembers, not how well it predicts unseen "
        "speakers."
    )


def test_a_model_of_speech_has_seen_the_speakers_of_the_songs(score, few):
    metrics = score(metadata={"configuration": {"data": {"channel": "speech"}}}, root=str(few))
    assert "8 of these 12 recordings were trained on, and others of the same speakers." in metrics["protocol"]
    metrics = score(metadata={"configuration": {"data": {"channel": "speech"}}}, root=str(few), channel="speech")
    assert SEEN in metrics["protocol"]


def test_a_model_of_synthetic_voices_says_so(score, few):
    metrics = score(metadata={"configuration": {"data": {"corpus": "synthetic"}}}, root=str(few))
    sentences = "The model was trained on synthetic voices only. The run kept none of them from training."
    assert metrics["protocol"].endswith(sentences)
    assert SEEN not in metrics["protocol"]


def test_what_was_kept_out_is_scored_with_the_words_of_the_run(score, few, tmp_path):
    kept_out = tuple(sorted(path.stem for path in few.iterdir())[:3])
    metrics = score(metadata={"scored_recordings": kept_out}, root=str(few))
    assert (metrics["n_recordings"], metrics["protocol"]) == (3, "Random weights: nothing was learnt.")
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert '<p class="lead">Random weights: nothing was learnt.</p>' in report
    assert f"<dd>{metrics['overall']['uar']:.2%}</dd>" in report
    metrics = score(metadata={"scored_hashes": hashes_of(kept_out)}, root=str(few))  # as of a million recordings
    assert (metrics["n_recordings"], metrics["protocol"]) == (3, "Random weights: nothing was learnt.")
    metrics = score(metadata={"scored_recordings": kept_out}, test_dir=str(few))
    assert "9 of 12 are not among those that the run kept from training" in metrics["protocol"]
    assert metrics["protocol"].endswith("of their speakers (01).")


def test_a_manifest_is_scored_with_its_parts_of_files(score, few, tmp_path):
    path = next(iter(sorted(few.iterdir())))
    rows = [
        f"{path},calm,anna,,",
        f"{path},sad,anna,0.1,0.9",
        f"{path},sad,ben,99,",
        f"{path},sad,ben,98,",
        f"{path},bored,ben,0.2,",
    ]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file,emotion,speaker,start,end", *rows]) + "\n", encoding="utf-8")
    metrics = score(metadata={}, test_dir=str(table))
    assert metrics["n_recordings"] == 2  # two are behind the end of their file, and the model does not know boredom
    assert {name: one["support"] for name, one in metrics["per_class"].items() if one["support"]} == {
        "calm": 1,
        "sad": 1,
    }
    unreadable = (tmp_path / "out" / "unreadable.csv").read_text(encoding="utf-8")
    assert "99 to" in unreadable
    assert "98 to" in unreadable
    rows = (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == ["anna", "anna"]
    assert metrics["protocol"].endswith("does not know their classes: 1 recordings, bored (1).")


def test_another_corpus_is_read_by_its_name_and_is_not_called_seen(score, few, tmp_path):
    write_cremad(tmp_path / "other", few)
    metrics = score(metadata={}, test_dir=str(tmp_path / "other"), corpus="cremad")
    assert metrics["n_recordings"] == 3
    unseen = "The model was trained on ravdess. None of the recordings, which are of cremad, is of it."
    assert metrics["protocol"] == f"Recordings in {tmp_path / 'other'}, speech. {unseen}"
    assert metrics["by_corpus"]["cremad"]["classes"] == ["sad", "angry"]
    assert metrics["closed_set"]["uar"] >= metrics["overall"]["uar"]
    metrics = score(metadata={}, root=str(tmp_path / "other"), corpus="cremad", label_map={"sad": "calm"})
    assert metrics["protocol"].endswith(f"{unseen} By label_map, sad counts as calm.")
    assert {name for name, one in metrics["per_class"].items() if one["support"]} == {"calm", "angry"}
    with pytest.raises(SettingsError, match=r"evaluate\.label_map calls 'sad' 'clam', .*; did you mean 'calm'"):
        score(metadata={}, root=str(tmp_path / "other"), corpus="cremad", label_map={"sad": "clam"})
    with pytest.raises(SettingsError, match="test_dir is needed with corpus=manifest"):
        score(metadata={}, corpus="manifest")
    with pytest.raises(SettingsError, match="corpus is 'cremat'; did you mean 'cremad'"):
        EvaluationSettings(output_dir="", corpus="cremat")


def write_cremad(folder, few):
    """Put three recordings of RAVDESS into a folder by names of CREMA-D."""
    folder.mkdir(exist_ok=True)
    names = ("1001_DFA_ANG_XX", "1002_IEO_SAD_LO", "1002_DFA_ANG_XX")
    for path, name in zip(sorted(few.iterdir()), names, strict=False):
        (folder / f"{name}.wav").symlink_to(path.resolve())


def test_several_corpora_are_scored_at_once(score, few, tmp_path):
    write_cremad(tmp_path / "cremad", few)
    places = {"ravdess": str(few), "cremad": str(tmp_path / "cremad")}
    kept_out = tuple(sorted(path.stem for path in few.iterdir()))
    metrics = score(metadata={"scored_recordings": kept_out}, corpora=places, channel="speech")
    assert metrics["n_recordings"] == 11
    assert metrics["protocol"].endswith(
        "The model was trained on ravdess. 3 of 11 recordings, which are of cremad, are not of it. The other 8 are "
        "among those that the run kept from training."
    )
    assert {name: one["n_recordings"] for name, one in metrics["by_corpus"].items()} == {"cremad": 3, "ravdess": 8}
    text = (tmp_path / "out" / "test_metrics.txt").read_text(encoding="utf-8")
    assert "\ncorpus   recordings" in text
    for settings, sentence in (
        ({"corpora": ["ravdess"]}, r"corpora is \['ravdess'\]; name two or more"),
        ({"corpora": places, "root": "x"}, "root is of one corpus, but corpora names several"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            EvaluationSettings(output_dir="", **settings)


@pytest.fixture
def run_of_several(few, tmp_path, tiny_metadata):
    """The metadata of a run of RAVDESS and CREMA-D that kept five recordings from training."""
    write_cremad(tmp_path / "cremad", few)
    places = {"ravdess": str(few), "cremad": str(tmp_path / "cremad")}
    stems = sorted(path.stem for path in few.iterdir())
    return replace(
        tiny_metadata,
        scored_recordings=("cremad/1002_DFA_ANG_XX", *(f"ravdess/{stem}" for stem in stems[:4])),
        corpora=places,
        configuration={"data": {"corpora": places, "corpus": "ravdess", "label_map": {"angry": "sad"}}},
    )


def test_a_run_of_several_corpora_scores_what_it_kept(run_of_several, few, tmp_path, undrawn):
    checkpoint = tmp_path / "several.ckpt"
    write_checkpoint(random_recogniser(run_of_several), run_of_several, checkpoint)
    evaluate(EvaluationSettings(output_dir=str(tmp_path / "out"), workers=1, checkpoint=str(checkpoint)))
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["n_recordings"], metrics["protocol"]) == (5, "Random weights: nothing was learnt.")
    files = [row.split(",")[0] for row in (tmp_path / "out" / "predictions.csv").read_text().splitlines()[1:]]
    assert files == sorted(run_of_several.scored_recordings)
    assert metrics["by_corpus"]["cremad"]["classes"] == ["sad"]  # by the run's own label map
    # Where the corpora have been moved, root is the folder that holds them by their names.
    moved = replace(run_of_several, corpora=dict.fromkeys(run_of_several.corpora, "/nowhere"))
    (tmp_path / "ravdess").symlink_to(few)
    assert len(recordings_of_run(moved, root=str(tmp_path))[0]) == 15
    with pytest.raises(CorpusError, match="The manifest of the run's corpus 'mine' was /nowhere and is not there"):
        recordings_of_run(replace(moved, corpora={"mine": "/nowhere", **run_of_several.corpora}))


def test_recordings_of_a_run_of_several_corpora_are_known_when_scored_alone(run_of_several, few, tmp_path):
    alone = find_recordings(few)
    sentence = describe_overlap(run_of_several, alone)
    assert sentence.startswith("The model was trained on ravdess and cremad. 8 of 12 are not among those that the run")
    # A manifest of them need not say which corpus it is.
    nameless = [replace(one, corpus="") for one in alone]
    assert describe_overlap(run_of_several, nameless) == sentence
    assert describe_overlap(run_of_several, alone[:4]) == run_of_several.protocol
    others = [replace(one, corpus="nemo") for one in alone]
    assert describe_overlap(run_of_several, others).endswith("None of the recordings, which are of nemo, is of these.")
    data = run_of_several.configuration["data"] | {"split": "corpus", "test_corpora": ["cremad"]}
    without = replace(run_of_several, configuration={"data": data})
    assert describe_overlap(without, find_recordings(tmp_path / "cremad", "cremad")) == (
        "The model was trained on ravdess. None of the recordings, which are of cremad, is of it."
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"corpus": "manifest", "manifest": "/h/labels.csv"}, "The model was trained on the manifest labels.csv. The"),
        ({"corpus": "manifest"}, "The run kept nothing"),
        ({"corpora": {"mine": "x.csv", "nemo": None}}, "The model was trained on mine and nemo. None of the"),
        ({"corpora": ["mine", "nemo"]}, "which are of ravdess, is of these, by their names."),
        ({"corpora": ["tess", "nemo"]}, "which are of ravdess, is of these."),
    ],
)
def test_what_the_model_was_trained_on_is_named_as_far_as_it_is_known(few, data, sentence, tiny_metadata):
    assert sentence in describe_overlap(replace(tiny_metadata, configuration={"data": data}), find_recordings(few))


def test_what_a_fine_tuned_model_was_before_stands_above_its_scores(few, tiny_metadata):
    """It may know the very recordings that its own corpus has none of."""
    initial = InitialModel(name="ser-ravdess", sha256="0", protocol="Trained on every recording of RAVDESS.")
    metadata = replace(tiny_metadata, configuration={"data": {"corpus": "cremad"}}, init_from=initial)
    assert describe_overlap(metadata, find_recordings(few)).endswith(
        "None of the recordings, which are of ravdess, is of it. Before that, it was ser-ravdess: Trained on every "
        "recording of RAVDESS."
    )


def test_a_file_without_a_corpus_is_known_by_its_name(few, tiny_metadata):
    of_ravdess = [replace(one, corpus="") for one in find_recordings(few)]
    assert SEEN in describe_overlap(tiny_metadata, of_ravdess)
    others = [replace(one, path=Path(f"ema{n}.wav")) for n, one in enumerate(of_ravdess)]
    assert describe_overlap(tiny_metadata, others) == (
        "The model was trained on ravdess. None of the recordings is of it, by their names."
    )
    mixed = describe_overlap(tiny_metadata, [*of_ravdess, *others[:2]])
    assert mixed.startswith("The model was trained on ravdess. 2 of 14 recordings are not of it, by their names. The")
    manifest = replace(tiny_metadata, configuration={"data": {"corpora": {"ravdess": None, "mine": "x.csv"}}})
    assert "The run kept nothing" in describe_overlap(manifest, others)  # they may all be in that manifest
    synthetic = replace(tiny_metadata, configuration={"data": {"corpus": "synthetic"}})
    assert describe_overlap(synthetic, others).endswith("None of the recordings is of it, by their names.")


def test_many_names_are_cut_short(tiny_metadata):
    recordings = [
        Recording(path=Path(), id=f"a{n}", emotion="sad", speaker=f"s{n:02d}", corpus="ravdess") for n in range(14)
    ]
    metadata = replace(tiny_metadata, scored_recordings=("a0",))
    assert describe_overlap(metadata, recordings).endswith("s11, s12 and 1 more).")
    counts = {f"label {n:02d}": 1 for n in range(13)} | {"bored": 5}
    sentence = describe_left_out(counts)
    assert sentence.startswith("Left out, as the model does not know their classes: 18 recordings, bored (5), label 00")
    assert sentence.endswith("label 10 (1) and 2 more.")
    assert describe_left_out({}) == describe_labels({}) == ""
    assert describe_labels({"bored": None}) == "By label_map, bored is left out."


def test_recordings_that_were_kept_out_and_are_gone_are_missed(score, few):
    with pytest.raises(CorpusError, match="None of the recordings that the run kept from training is there"):
        score(metadata={"scored_recordings": ("03-01-08-02-02-02-24",)}, root=str(few))


def test_without_a_model_the_key_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("ser.inference.pretrained.MODELS", tmp_path / "models")
    missing = r"evaluate\.checkpoint is missing; .* no pretrained model ser-voices here"
    with pytest.raises(SettingsError, match=missing):
        evaluate(EvaluationSettings(output_dir=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
