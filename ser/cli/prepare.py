"""Write the features of a corpus in shards: `ser prepare`, with the settings of the training and `data.shards`."""

import logging
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ser.cli.hydra_command import hydra_command
from ser.errors import SettingsError

log = logging.getLogger(__name__)


def _task(configuration: DictConfig) -> None:
    # Imported here, so that `--help` and the refusal of a misspelt key are quick.
    from ser.data.recipe import Recipe
    from ser.data.shards import prepare_shards
    from ser.training.config import read_run_settings
    from ser.training.configuration import resolve

    values = resolve(configuration, HydraConfig.get().overrides.task)
    launcher, address = values.pop("launcher"), values.pop("ray_address")
    settings = read_run_settings(values)
    if settings.data.shards is None:
        raise SettingsError("data.shards is missing; give the folder to write to.")
    if launcher not in ("processes", "ray"):
        raise SettingsError(f"launcher is {launcher!r}, but should be processes or ray.")
    recipe = Recipe(
        features=settings.features,
        augment=settings.own_augment or settings.augment,
        augment_seed=settings.data.augment_seed,
    )
    reports = prepare_shards(
        settings.data, recipe, data_dir=Path(settings.paths.data_dir), launcher=launcher, address=address
    )
    for n_done, (part, report) in enumerate(reports, start=1):
        how = "was there already" if report.seconds is None else f"{report.n_items / report.seconds:.0f} a second"
        log.info("%d. shard, %s %d: %d recordings, %s", n_done, part, report.number, report.n_items, how)
    log.info("Train from them with data.shards=%s", settings.data.shards)


main = partial(hydra_command, _task, "prepare")
