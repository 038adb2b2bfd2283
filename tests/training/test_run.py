import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ser.errors import SettingsError
from ser.training.loss import CrossEntropy
from ser.training.run import _best_epoch, _check_allowed, _class_counts


@pytest.mark.parametrize(
    ("monitor", "mode", "values", "best"),
    [
        (None, "min", [1, 2, 3], 2),
        ("val/loss", "min", [3, 1, 1], 1),
        ("val/uar", "max", [0.1, 0.3, 0.3], 1),
        ("val/loss", "min", [math.nan, 3, 1], 2),
        ("val/uar", "max", [math.nan, 0.1, 0.3], 2),
        ("val/loss", "min", [math.nan, math.nan], 0),
    ],
)
def test_the_best_epoch_is_the_one_whose_checkpoint_lightning_keeps(monitor, mode, values, best):
    settings = SimpleNamespace(best_epoch_by=(monitor, mode))
    history = [{"epoch": epoch, monitor: value} for epoch, value in enumerate(values)]
    assert _best_epoch(history, settings)["epoch"] == best


def of_corpora(emotions, *, draws=None, allowed=None):
    samples = [SimpleNamespace(recording=SimpleNamespace(emotion=emotion)) for emotion in emotions]
    return SimpleNamespace(
        prepared={"train": SimpleNamespace(samples=samples)},
        class_names=("happy", "sad"),
        draws=lambda part: draws,
        allowed=lambda part: allowed,
    )


def test_classes_are_counted_as_often_as_their_samples_are_drawn():
    emotions = ["sad", "happy", "sad", "sad"]
    assert _class_counts(of_corpora(emotions)) == [1, 3]
    draws = torch.tensor([0.5, 2.0, 1.0, 0.5], dtype=torch.float64)
    assert _class_counts(of_corpora(emotions, draws=draws)) == [2.0, 2.0]


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.CrossEntropyLoss(), "model.loss takes no `allowed`, but not every corpus has all of happy, sad"),
        (CrossEntropy(class_weight_power=1.0, class_counts=(1, 3)), "give 0, or experiment=several_corpora"),
    ],
)
def test_a_loss_that_corpora_without_a_class_would_mislead_is_refused(loss, message):
    _check_allowed(loss, of_corpora(["sad", "happy"]))  # each corpus has both
    _check_allowed(CrossEntropy(), of_corpora(["sad"], allowed=torch.tensor([[False, True]])))
    with pytest.raises(SettingsError, match=message):
        _check_allowed(loss, of_corpora(["sad"], allowed=torch.tensor([[False, True]])))
