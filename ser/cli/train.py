"""Train a recogniser: `python train.py`, with any setting of `conf/train.yaml` as `key=value`."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ser.cli.hydra_command import default_settings, hydra_command
from ser.errors import SerError, SettingsError
from ser.training.launcher import folder_lock

if TYPE_CHECKING:
    from ser.training.config import RunSettings

log = logging.getLogger(__name__)


def task(configuration: DictConfig) -> float | None:
    """Check the settings, train, report; return the metric that a sweep optimises, None where it was never logged."""
    # Imported here, so that `--help` and the refusal of a misspelt key are quick.
    from ser.data.processes import is_first_process

    is_first = is_first_process()
    if is_first:
        with folder_lock(Path(HydraConfig.get().runtime.output_dir)):
            return _train(configuration, is_first=True)
    logging.getLogger().setLevel(logging.WARNING)
    try:
        return _train(configuration, is_first=False)
    finally:
        # Started by torchrun or Slurm, each process names a folder by its own clock, and this one writes nothing. One
        # that the first process shares holds its configuration, and stays.
        from ser.training.configuration import discard_unused

        discard_unused(Path(HydraConfig.get().runtime.output_dir))


def _train(configuration: DictConfig, *, is_first: bool) -> float | None:
    from ser.training.configuration import discard_unused, write_configuration
    from ser.training.overrides import overrides_of_run, remember_overrides

    is_new, has_begun = configuration.ckpt_path is None, False
    hydra = HydraConfig.get()
    try:
        settings, resolved = _settings_of(configuration)
        if is_first:
            write_configuration(settings.run_dir, resolved)
            remember_overrides(settings.run_dir, hydra.overrides.task)
            has_begun = True

        from ser.training.run import train

        overrides = overrides_of_run(settings.run_dir, resolved)
        best = train(settings, resolved, overrides=overrides, defaults=default_settings)
    except SerError:
        if is_first and (is_new or not has_begun):  # that of a resumed run is not ours to remove
            discard_unused(Path(hydra.runtime.output_dir), has_begun=has_begun)
        raise
    metric = settings.optimized_metric
    if metric not in best:
        log.warning("optimized_metric is %r, which was never logged; there are %s", metric, ", ".join(best))
    return best.get(metric)


def _settings_of(configuration: DictConfig) -> "tuple[RunSettings, dict[str, Any]]":
    """Return the settings of the run, new or resumed, and its configuration as plain values; raises SerError."""
    from ser.training.configuration import plain, resolve, resumed, who_gave
    from ser.training.quick_imports import quick_imports

    with quick_imports():
        from ser.training.config import read_run_settings
        from ser.training.run import train  # noqa: F401 - the rest of what will be used

    hydra = HydraConfig.get()
    if configuration.ckpt_path is not None:
        resolved = plain(resumed(configuration, hydra.overrides.task))
    else:
        resolved = resolve(configuration, hydra.overrides.task)
    try:
        settings = read_run_settings(resolved)
    except SettingsError as error:
        raise who_gave(error, hydra.overrides.task, hydra.runtime.choices.get("experiment")) from error
    devices = settings.trainer.get("devices", 1)
    # Lightning would start the processes of further devices by the command of the sweep.
    n_devices = len(devices) if isinstance(devices, list) else devices
    if hydra.mode is RunMode.MULTIRUN and n_devices not in (1, "1"):
        raise SettingsError(
            f"trainer.devices is {devices!r}: in a sweep, several devices need a process for each job; give "
            "hydra/launcher=processes, or trainer.devices=1."
        )
    return settings, resolved


main = partial(hydra_command, task, "train")
