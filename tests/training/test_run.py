import math
from types import SimpleNamespace

import pytest

from ser.training.run import _best_epoch


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
