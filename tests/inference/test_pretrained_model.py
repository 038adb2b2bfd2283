"""The pretrained model: that it is whole, and that it was trained on what its metadata name."""

import numpy as np
import pytest

from ser.corpora.manifest import find_recordings
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, find_pretrained


def test_it_is_small_and_its_metadata_name_its_training_part():
    metadata = Predictor.load(DEFAULT_MODEL).metadata
    files = find_pretrained(DEFAULT_MODEL).parent.glob(f"{DEFAULT_MODEL}.*")
    assert sum(path.stat().st_size for path in files) < 10 * 2**20
    assert "Trained on every recording" in metadata.protocol
    assert metadata.scored_recordings == ()
    assert 0 < metadata.rejection_threshold < 1


@pytest.mark.ravdess
def test_its_training_recordings_are_predicted_right(ravdess_root):
    speech = [r for r in find_recordings(ravdess_root) if r.name.channel == "speech"][::12]  # 120, of every actor
    predictions, failures = Predictor.load(DEFAULT_MODEL).predict_files([recording.path for recording in speech])
    assert not failures
    right = np.mean([p.emotion == r.name.emotion for p, r in zip(predictions, speech, strict=True)])
    assert right > 0.85
    assert {recording.name.emotion for recording in speech} == {prediction.emotion for prediction in predictions}
