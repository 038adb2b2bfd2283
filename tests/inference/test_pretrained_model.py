"""The pretrained model: that it is whole, and that it was trained on what its metadata name."""

import csv
from pathlib import Path

import numpy as np
import pytest

from ser.audio.io import read_sound
from ser.corpora.reading import find_recordings
from ser.features.pipeline import network_input, preprocess
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MODELS, find_pretrained


def test_it_is_small_and_its_metadata_name_its_training_part():
    metadata = Predictor.load(DEFAULT_MODEL).metadata
    files = find_pretrained(DEFAULT_MODEL).parent.glob(f"{DEFAULT_MODEL}.*")
    assert sum(path.stat().st_size for path in files) < 10 * 2**20
    assert "Trained on every recording" in metadata.protocol
    assert metadata.scored_recordings == ()
    assert 0 < metadata.rejection_threshold < 1


@pytest.mark.ravdess
def test_its_training_recordings_are_predicted_right(ravdess_root):
    speech = [r for r in find_recordings(ravdess_root) if r.channel == "speech"][::12]  # 120, of every actor
    predictions, failures = Predictor.load(DEFAULT_MODEL).predict_files([recording.path for recording in speech])
    assert not failures
    right = np.mean([p.emotion == r.emotion for p, r in zip(predictions, speech, strict=True)])
    assert right > 0.85
    assert {recording.emotion for recording in speech} == {prediction.emotion for prediction in predictions}


@pytest.mark.ravdess
@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_it_predicts_what_it_predicted_before_the_rooms(ravdess_root, suffix):
    """The file holds the probabilities of commit 6803044, of 24 recordings spread over the corpus."""
    with Path(__file__).with_name("ser_ravdess_at_6803044.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = {recording.id: recording.path for recording in find_recordings(ravdess_root)}
    predictor = Predictor.load(MODELS / f"{DEFAULT_MODEL}{suffix}")
    settings = predictor.metadata.features
    expected = np.array([[float(row[name]) for name in predictor.class_names] for row in rows])
    sounds = [read_sound(paths[row["file"]], sample_rate=settings.sample_rate) for row in rows]
    inputs = [network_input(preprocess(sound.waveform, settings)[0], settings) for sound in sounds]
    scored = predictor.score(*map(np.stack, zip(*inputs, strict=True)))
    np.testing.assert_allclose(scored, expected, atol=1e-6)
    # A prediction takes the mean off before: RAVDESS has one of up to 0.3% of the peak.
    predicted = [predictor.predict_sound(sound, name="sound") for sound in sounds]
    assert [one.emotion for one in predicted] == [predictor.class_names[place] for place in expected.argmax(axis=1)]
    np.testing.assert_allclose([one.probabilities for one in predicted], expected, atol=0.05)
