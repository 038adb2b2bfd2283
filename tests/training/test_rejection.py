"""The rejection threshold that a training run leaves in its checkpoint."""

import shutil

import numpy as np
import pytest
import torch

from ser.corpora.ravdess import EMOTIONS
from ser.evaluation.report import score_predictions
from ser.inference.checkpoint import ENTRY, read_checkpoint
from ser.inference.predictor import Predictor
from ser.training.rejection import keep_rejection_threshold

N = 40


def scored(recordings, right):
    """The evaluation of forty predictions, less and less confident, of which `right` says which are right."""
    chosen = recordings[:N]
    probabilities = np.empty((N, len(EMOTIONS)))
    for row, (recording, confidence) in enumerate(zip(chosen, np.linspace(0.99, 0.3, N), strict=True)):
        truth = EMOTIONS.index(recording.emotion)
        predicted = truth if right(row) else (truth + 1) % len(EMOTIONS)
        probabilities[row] = (1 - confidence) / (len(EMOTIONS) - 1)
        probabilities[row, predicted] = confidence
    return score_predictions(chosen, probabilities, EMOTIONS, protocol="made up")


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        (lambda row: True, 0.0),
        (lambda row: row < 20, np.linspace(0.99, 0.3, N)[24]),  # 20 of the first 25 are 80%
        (lambda row: False, 1.0),
    ],
    ids=["all right", "half", "none"],
)
def test_the_threshold_is_in_the_checkpoint_and_nothing_else_changes(
    right, expected, ravdess_recordings, tiny_checkpoint, tmp_path
):
    checkpoint = shutil.copy(tiny_checkpoint, tmp_path / "best.ckpt")
    before = read_checkpoint(checkpoint)
    assert keep_rejection_threshold(checkpoint, scored(ravdess_recordings, right)) == pytest.approx(expected)
    after = read_checkpoint(checkpoint)
    assert after[ENTRY] == before[ENTRY] | {"rejection_threshold": pytest.approx(expected)}
    assert after.keys() == before.keys()
    assert all(torch.equal(value, after["state_dict"][name]) for name, value in before["state_dict"].items())
    assert Predictor.load(checkpoint).metadata.temperature == 1


def test_a_checkpoint_that_has_it_already_is_not_written_again(ravdess_recordings, tiny_checkpoint, tmp_path):
    checkpoint = shutil.copy(tiny_checkpoint, tmp_path / "best.ckpt")
    evaluation = scored(ravdess_recordings, lambda row: row < 20)
    keep_rejection_threshold(checkpoint, evaluation)
    written = checkpoint.stat().st_mtime_ns
    keep_rejection_threshold(checkpoint, evaluation)
    assert checkpoint.stat().st_mtime_ns == written
