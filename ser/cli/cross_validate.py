"""Cross-validate a recipe: `ser cross-validate folds=subject_wise seeds=[42,43,44]`; the keys of `ser train` too."""

from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ser.cli.hydra_command import hydra_command
from ser.cli.launching import run_by_launcher
from ser.errors import SerError


def _task(configuration: DictConfig) -> float:
    """Check the settings of all runs, run them, report; return the validation score that a sweep optimises."""
    from ser.training.configuration import discard_unused
    from ser.training.cross_validation.plan import plan, settle
    from ser.training.overrides import remember_overrides

    folder = Path(configuration.paths.run_dir)
    try:
        configuration = settle(configuration, HydraConfig.get().overrides.task)
        settings, runs = plan(configuration)
    except SerError:
        discard_unused(folder)
        raise
    remember_overrides(folder, HydraConfig.get().overrides.task)

    from ser.training.cross_validation.run import cross_validate, monitored

    kept: Any = OmegaConf.to_container(configuration, resolve=False)
    summary = cross_validate(settings, runs, folder=folder, configuration=kept, run_jobs=run_by_launcher)
    return monitored(summary, runs[0].settings.optimized_metric)


main = partial(hydra_command, _task, "cross_validate")
