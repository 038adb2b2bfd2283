"""The pretrained model: that it is whole, and that it was trained on what its metadata name."""

import csv
from pathlib import Path

import numpy as np
import pytest

from ser.corpora.reading import find_recordings
from ser.inference.predictor import Predictor
from ser.inference.pretrained import MODELS, find_pretrained

MODEL_NAMES = ("ser-ravdess", "ser-voices")


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_it_is_small_and_its_metadata_name_its_training_part(name):
    metadata = Predictor.load(name).metadata
    files = find_pretrained(name).parent.glob(f"{name}.*")
    assert sum(path.stat().st_size for path in files) < 10 * 2**20
    assert "Trained on every recording" in metadata.protocol
    assert metadata.scored_recordings == ()
    assert 0 < metadata.rejection_threshold < 1


def test_the_one_for_any_voice_is_the_default_and_takes_context():
    assert Predictor.load().fingerprint == Predictor.load("ser-voices").fingerprint
    assert Predictor.load().metadata.context > 0
    assert Predictor.load("ser-ravdess").metadata.context == 0
    assert Predictor.load().metadata.features.sample_rate == 16_000  # nothing above 8 kHz is read


@pytest.mark.ravdess
@pytest.mark.parametrize(("name", "least"), [("ser-ravdess", 0.85), ("ser-voices", 0.65)])
def test_its_training_recordings_are_predicted_right(ravdess_root, name, least):
    speech = [r for r in find_recordings(ravdess_root) if r.channel == "speech"][::12]  # 120, of every actor
    predictions, failures = Predictor.load(name).predict_files([recording.path for recording in speech])
    assert not failures
    right = np.mean([p.emotion == r.emotion for p, r in zip(predictions, speech, strict=True)])
    assert right > least
    assert {recording.emotion for recording in speech} == {prediction.emotion for prediction in predictions}


@pytest.mark.ravdess
@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_it_predicts_what_it_predicted_before_the_rooms(ravdess_root, suffix):
    """The file holds the probabilities of commit 6803044, of 24 recordings spread over the corpus."""
    with Path(__file__).with_name("ser_ravdess_at_6803044.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = {recording.id: recording.path for recording in find_recordings(ravdess_root)}
    predictor = Predictor.load(MODELS / f"ser-ravdess{suffix}")
    expected = np.array([[float(row[name]) for name in predictor.class_names] for row in rows])
    predicted = np.array([predictor.predict(paths[row["file"]]).probabilities for row in rows])
    np.testing.assert_allclose(predicted, expected, atol=1e-6)
