"""Cross-validate a recipe: `python cross_validate.py folds=subject_wise seeds=[42,43,44]`; train.py's keys too."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf


@hydra.main(version_base="1.3", config_path="conf", config_name="cross_validate")
def main(configuration: DictConfig) -> float:
    """Check the settings of all runs, run them, report; return the validation figure that a sweep optimises."""
    from ser.command_line import discard_unused, one_sentence_errors

    with one_sentence_errors():
        from ser.cross_validation.command import remember_overrides
        from ser.cross_validation.plan import plan, settle
        from ser.errors import SerError

        folder = Path(configuration.paths.run_dir)
        try:
            configuration = settle(configuration, HydraConfig.get().overrides.task)
            settings, runs = plan(configuration)
        except SerError:
            discard_unused(folder)
            raise
        remember_overrides(folder, HydraConfig.get().overrides.task)

        from ser.cross_validation.run import cross_validate, monitored

        summary = cross_validate(
            settings,
            runs,
            folder=folder,
            configuration=OmegaConf.to_container(configuration, resolve=False),
            train_script=Path(__file__).with_name("train.py"),
        )
        return monitored(summary, runs[0].settings.optimized_metric)


if __name__ == "__main__":
    from ser.command_line import run_command

    run_command(main)
