"""A run on a tiny encoder of transformers' real class, frozen and fine-tuned: one way in training and prediction."""

import csv
import logging

import numpy as np
import pytest
import torch

from ser.errors import CheckpointError, SettingsError
from ser.evaluation.evaluate import EvaluationSettings, evaluate
from ser.inference.checkpoint import load_recogniser, read_checkpoint
from ser.inference.export import export_onnx
from ser.inference.predictor import Predictor
from ser.training.run import train
from tests.encoders import FINE_TUNED, FROZEN, save_encoder, settings_of, tiny_encoder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    below = tmp_path_factory.mktemp("encoders")
    return {
        "right": save_encoder(tiny_encoder("WavLM"), below / "right", do_normalize=True),
        "wrong": save_encoder(tiny_encoder("WavLM", seed=1), below / "wrong", do_normalize=True),
    }


@pytest.fixture(scope="module")
def below(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def frozen_run(below, tiny_corpus, encoders):
    train(*settings_of(below / "frozen", below / "cache", tiny_corpus, encoders["right"], *FROZEN))
    return below / "frozen"


@pytest.fixture(scope="module")
def fine_tuned_run(below, tiny_corpus, encoders):
    train(*settings_of(below / "tuned", below / "cache", tiny_corpus, encoders["right"], *FINE_TUNED))
    return below / "tuned"


def predictions_of(run):
    """File -> probabilities, as the run itself wrote them from its validation data."""
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["file"]: [float(value) for key, value in row.items() if key.startswith("p_")] for row in rows}


def assert_predicts_what_it_validated(predictor, run, corpus):
    expected = predictions_of(run)
    assert len(expected) == 9
    paths = [next(corpus.rglob(f"{name}*")) for name in expected]
    found, failures = predictor.predict_files(paths, workers=1)
    assert not failures
    for prediction, probabilities in zip(found, expected.values(), strict=True):
        assert len(prediction.segments) == 1
        np.testing.assert_allclose(prediction.probabilities, probabilities, rtol=0, atol=1e-4)
    return np.array(list(expected.values()))


def test_a_frozen_encoder_predicts_what_training_validated(frozen_run, encoders, tiny_corpus):
    predictor = Predictor.load(frozen_run, encoder=encoders["right"])
    probabilities = assert_predicts_what_it_validated(predictor, frozen_run, tiny_corpus)
    assert probabilities.std(axis=0).max() > 1e-3  # the sound counts


def test_a_fine_tuned_encoder_predicts_what_training_validated(fine_tuned_run, tiny_corpus):
    probabilities = assert_predicts_what_it_validated(Predictor.load(fine_tuned_run), fine_tuned_run, tiny_corpus)
    assert probabilities.std(axis=0).max() > 1e-4


def test_a_frozen_encoder_is_named_and_not_in_the_file(frozen_run, encoders):
    content = read_checkpoint(frozen_run / "checkpoints" / "best.ckpt")
    assert not [name for name in content["state_dict"] if "encoder" in name]
    entry = content["ser"]["encoder"]
    assert (entry["name"], entry["revision"], entry["trainable"]) == ("right", "", False)
    assert len(entry["sha256"]) == 64
    _, metadata = load_recogniser(frozen_run)
    assert metadata.versions["transformers"]


def test_a_fine_tuned_encoder_is_in_the_file_and_was_trained(fine_tuned_run, encoders):
    from ser.models.encoder_files import load_encoder

    recogniser, metadata = load_recogniser(fine_tuned_run)
    assert metadata.encoder.trainable
    before = load_encoder(encoders["right"]).state_dict()
    after = recogniser.encoder.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("encoder.layers.0" in name for name in changed)
    assert not any("feature_extractor" in name for name in changed)


def test_nothing_is_loaded_or_fetched_unasked(frozen_run, fine_tuned_run, encoders, monkeypatch):
    with pytest.raises(CheckpointError, match="needs the frozen encoder right, which is not in its file: give its"):
        Predictor.load(frozen_run)
    with pytest.raises(CheckpointError, match=r"was trained on the encoder right, .* has the SHA-256"):
        Predictor.load(frozen_run, encoder=encoders["wrong"])
    with pytest.raises(SettingsError, match="has its own in its file; leave it out"):
        Predictor.load(fine_tuned_run, encoder=encoders["right"])


def test_evaluation_takes_the_encoder(frozen_run, encoders, tmp_path):
    given = {"output_dir": str(tmp_path), "checkpoint": str(frozen_run), "workers": 1}
    with pytest.raises(CheckpointError, match="to `ser evaluate` as encoder="):
        evaluate(EvaluationSettings(**given))
    evaluate(EvaluationSettings(**given, encoder=str(encoders["right"])))
    found, expected = predictions_of(tmp_path), predictions_of(frozen_run)
    assert found.keys() == expected.keys()
    for name, probabilities in expected.items():
        np.testing.assert_allclose(found[name], probabilities, rtol=0, atol=1e-4)


def test_a_model_without_an_encoder_takes_none(encoders):
    with pytest.raises(SettingsError, match="was trained without one; leave it out"):
        Predictor.load("ser-ravdess", encoder=encoders["right"])


@pytest.mark.parametrize("run", ["frozen_run", "fine_tuned_run"])
def test_onnx_is_refused_in_one_sentence(run, request):
    with pytest.raises(SettingsError, match="was trained on the encoder right, and such a model cannot be written"):
        export_onnx(request.getfixturevalue(run))


def test_a_second_run_makes_no_states(frozen_run, below, tiny_corpus, encoders, caplog):
    """Of the same sound and encoder; augmented copies have entries of their own."""
    stored = list((below / "cache" / "states").rglob("*.states"))
    assert len(stored) == 36 * 2 + 9
    caplog.set_level(logging.INFO)
    train(*settings_of(below / "again", below / "cache", tiny_corpus, encoders["right"], *FROZEN))
    assert sorted((below / "cache" / "states").rglob("*.states")) == sorted(stored)
    assert "72 samples, the encoder's states of 72 from the cache" in caplog.text
    assert predictions_of(below / "again") == predictions_of(frozen_run)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ("features=logmel",),
            r"model\.encoder takes a waveform at 16000 Hz, .* give model=encoder, or features=waveform",
        ),
        (("model/network=cnn_bilstm_luong",), "network is cnn_bilstm_luong, which takes recordings of one length"),
        (("model.utterance_head=linear",), "model.utterance_head needs features.groups"),
        (("spectrogram=strong",), "spectrogram changes log-mel features"),
    ],
)
def test_settings_that_do_not_go_together_are_one_sentence(overrides, sentence, tmp_path, encoders):
    with pytest.raises(SettingsError, match=sentence):
        settings_of(tmp_path, tmp_path, tmp_path, encoders["right"], *overrides)


def test_an_encoder_that_is_not_named_is_asked_for(tmp_path):
    with pytest.raises(SettingsError, match=r"model\.encoder is missing; give the folder of a speech encoder"):
        settings_of(tmp_path, tmp_path, tmp_path, "null")


def test_an_encoder_that_is_not_there_ends_the_run_before_the_data(tmp_path):
    settings = settings_of(tmp_path / "run", tmp_path, tmp_path / "no-corpus", "nowhere")
    with pytest.raises(CheckpointError, match="nowhere: there is no such folder, and it is no name"):
        train(*settings)
