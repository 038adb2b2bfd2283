"""A planned run of a cross-validation, in a folder of its own."""

import pytest

from ser.evaluation.cross_validation.record import FoldRun
from ser.training.config import read_run_settings
from ser.training.cross_validation.plan import PlannedRun


@pytest.fixture
def fold_run(tmp_path):
    """Return a run of `fold` and `seed` in a folder of its own; nothing is in it."""

    def make(fold, seed, **settings):
        folder = tmp_path / f"fold_{fold}_seed_{seed}"
        configuration = {
            "data": {"split": "speaker", "fold": fold},
            "features": {},
            "augment": {},
            "model": {},
            "trainer": {"max_epochs": 1},
            "callbacks": {},
            "logger": {},
            "paths": {"output_dir": "o", "run_dir": str(folder), "cache_dir": "o/cache", "data_dir": "data"},
            "seed": seed,
            "run_name": "test",
        } | settings
        run = FoldRun(folder=folder, fold=fold, seed=seed)
        return PlannedRun(run=run, configuration=configuration, settings=read_run_settings(configuration))

    return make
