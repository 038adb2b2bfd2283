"""Train a recogniser: `python train.py`, with any setting of `conf/train.yaml` as `key=value`."""

from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ser.cli.hydra_command import hydra_command
from ser.errors import SerError


def _task(configuration: DictConfig) -> float:
    """Check the settings, train, report; return the metric that a sweep optimises."""
    # Imported here, so that `--help` and the refusal of a misspelt key are quick.
    from ser.training.config import read_run_settings
    from ser.training.configuration import discard_unused, plain, resumed, write_configuration

    try:
        if configuration.ckpt_path is not None:
            configuration = resumed(configuration, HydraConfig.get().overrides.task)
        resolved = plain(configuration)
        settings = read_run_settings(resolved)
    except SerError:
        discard_unused(Path(HydraConfig.get().runtime.output_dir))
        raise
    write_configuration(settings.run_dir, resolved)

    from ser.training.run import train

    return train(settings, resolved)[settings.optimized_metric]


main = partial(hydra_command, _task, "train")
