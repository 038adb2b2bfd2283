"""Which model is scored, on which recordings, and what is said of them."""

import json
from dataclasses import replace

import pytest

from ser.errors import CorpusError, SettingsError
from ser.evaluation.evaluate import EvaluationSettings, evaluate
from ser.inference.checkpoint import load_recogniser
from ser.inference.pretrained import DEFAULT_MODEL, write_pretrained

HEARD = "the model has heard these very recordings in training"


@pytest.fixture
def score(tmp_path, tiny_checkpoint, monkeypatch):
    """A function that publishes the tiny model, so described, evaluates by the default, and returns the figures."""
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
def test_a_model_that_heard_everything_is_said_to_have(score, few, way):
    figures = score(metadata={"configuration": {"data": {"channel": "both"}}}, **{way: str(few)})
    assert figures["n_recordings"] == 12
    assert figures["protocol"] == (
        f"Recordings in {few}, both channel(s). The run held nothing out: by their names, {HEARD}. The figures say how "
        "well it remembers, not what to expect of a new voice."
    )


def test_a_model_of_speech_has_heard_the_speakers_of_the_songs(score, few):
    figures = score(metadata={"configuration": {"data": {"channel": "speech"}}}, root=str(few))
    told = "the model has heard 8 of these 12 recordings in training, and others of the same speakers."
    assert told in figures["protocol"]
    figures = score(metadata={"configuration": {"data": {"channel": "speech"}}}, root=str(few), channel="speech")
    assert HEARD in figures["protocol"]


def test_a_model_of_made_up_voices_is_said_to_be_one(score, few):
    figures = score(metadata={"configuration": {"data": {"corpus": "synthetic"}}}, root=str(few))
    assert "made-up voices alone, and the run held none of them out" in figures["protocol"]
    assert HEARD not in figures["protocol"]


def test_what_was_kept_out_is_scored_with_the_words_of_the_run(score, few):
    kept_out = tuple(sorted(path.stem for path in few.iterdir())[:3])
    figures = score(metadata={"scored_recordings": kept_out}, root=str(few))
    assert (figures["n_recordings"], figures["protocol"]) == (3, "Random weights: nothing was learnt.")
    figures = score(metadata={"scored_recordings": kept_out}, test_dir=str(few))
    assert "9 of 12 are not among those that the run held out" in figures["protocol"]


def test_recordings_that_were_kept_out_and_are_gone_are_missed(score, few):
    with pytest.raises(CorpusError, match="None of the recordings that the run held out is there"):
        score(metadata={"scored_recordings": ("03-01-08-02-02-02-24",)}, root=str(few))


def test_without_a_model_the_key_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("ser.inference.pretrained.MODELS", tmp_path / "models")
    with pytest.raises(
        SettingsError, match=r"evaluate\.checkpoint is missing; .* no pretrained model ser-ravdess here"
    ):
        evaluate(EvaluationSettings(output_dir=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
