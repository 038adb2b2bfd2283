"""Which model is scored, on which recordings, and what is said of them."""

import json
from dataclasses import replace

import pytest

from ser.errors import CorpusError, SettingsError
from ser.evaluation.evaluate import EvaluationSettings, evaluate
from ser.inference.checkpoint import load_recogniser
from ser.inference.pretrained import DEFAULT_MODEL, write_pretrained

SEEN = "these very recordings were trained on"


@pytest.fixture
def score(tmp_path, tiny_checkpoint, monkeypatch):
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
        f"Recordings in {few}, speech and song. The run kept nothing from training: by their names, {SEEN}. The "
        "metrics show how well the model remembers, not how well it predicts unseen speakers."
    )


def test_a_model_of_speech_has_seen_the_speakers_of_the_songs(score, few):
    metrics = score(metadata={"configuration": {"data": {"channel": "speech"}}}, root=str(few))
    assert "8 of these 12 recordings were trained on, and others of the same speakers." in metrics["protocol"]
    metrics = score(metadata={"configuration": {"data": {"channel": "speech"}}}, root=str(few), channel="speech")
    assert SEEN in metrics["protocol"]


def test_a_model_of_synthetic_voices_says_so(score, few):
    metrics = score(metadata={"configuration": {"data": {"corpus": "synthetic"}}}, root=str(few))
    assert "trained on synthetic voices only, and on all of them" in metrics["protocol"]
    assert SEEN not in metrics["protocol"]


def test_what_was_kept_out_is_scored_with_the_words_of_the_run(score, few, tmp_path):
    kept_out = tuple(sorted(path.stem for path in few.iterdir())[:3])
    metrics = score(metadata={"scored_recordings": kept_out}, root=str(few))
    assert (metrics["n_recordings"], metrics["protocol"]) == (3, "Random weights: nothing was learnt.")
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert '<p class="protocol">Random weights: nothing was learnt.</p>' in report
    assert f"<dd>{metrics['overall']['uar']:.2%}</dd>" in report
    metrics = score(metadata={"scored_recordings": kept_out}, test_dir=str(few))
    assert "9 of 12 are not among those that the run kept from training" in metrics["protocol"]


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


def test_another_corpus_is_read_by_its_name_and_is_not_called_seen(score, few, tmp_path):
    (tmp_path / "other").mkdir()
    for path, name in zip(sorted(few.iterdir()), ("1001_DFA_ANG_XX", "1002_IEO_SAD_LO"), strict=False):
        (tmp_path / "other" / f"{name}.wav").symlink_to(path.resolve())
    metrics = score(metadata={}, test_dir=str(tmp_path / "other"), corpus="cremad")
    assert metrics["n_recordings"] == 2
    assert metrics["protocol"].endswith("None of them is of the corpus that the model was trained on.")
    with pytest.raises(SettingsError, match="corpus is 'cremat'; did you mean 'cremad'"):
        EvaluationSettings(output_dir="", corpus="cremat")


def test_recordings_that_were_kept_out_and_are_gone_are_missed(score, few):
    with pytest.raises(CorpusError, match="None of the recordings that the run kept from training is there"):
        score(metadata={"scored_recordings": ("03-01-08-02-02-02-24",)}, root=str(few))


def test_without_a_model_the_key_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("ser.inference.pretrained.MODELS", tmp_path / "models")
    missing = r"evaluate\.checkpoint is missing; .* no pretrained model ser-ravdess here"
    with pytest.raises(SettingsError, match=missing):
        evaluate(EvaluationSettings(output_dir=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
