"""Train a recogniser: `python train.py`, with any setting of `conf/train.yaml` as `key=value`."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(configuration: DictConfig) -> float:
    """Check the settings, train, report; return the metric that a sweep optimises."""
    # Imported here, so that `--help` and a misspelt key are answered at once.
    from ser.command_line import discard_unused, one_sentence_errors, plain, resumed, write_configuration

    with one_sentence_errors():
        from ser.errors import SerError
        from ser.run_settings import read_run_settings

        try:
            if configuration.ckpt_path is not None:
                configuration = resumed(configuration, HydraConfig.get().overrides.task)
            resolved = plain(configuration)
            settings = read_run_settings(resolved)
        except SerError:
            discard_unused(Path(HydraConfig.get().runtime.output_dir))
            raise
        write_configuration(settings.run_dir, resolved)

        from ser.training import train

        return train(settings, resolved)[settings.optimized_metric]


if __name__ == "__main__":
    from ser.command_line import run_command

    run_command(main)
