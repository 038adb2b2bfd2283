"""Evaluate a model: `ser evaluate [checkpoint=<run folder, file or name>] [test_dir=<RAVDESS-named files>]`."""

from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ser.cli.hydra_command import default_settings, hydra_command


def _task(configuration: DictConfig) -> float:
    """Check the settings, score the recordings, report; return the accuracy."""
    from ser.evaluation.evaluate import EvaluationSettings, evaluate
    from ser.features.validation import read_settings
    from ser.training.configuration import plain
    from ser.training.launcher import folder_lock
    from ser.training.overrides import command_line

    settings = read_settings(EvaluationSettings, plain(configuration), where="evaluate")
    command = command_line("ser evaluate", HydraConfig.get().overrides.task)
    with folder_lock(Path(settings.output_dir)):
        evaluation = evaluate(settings, command=command, defaults=default_settings)
    return float(evaluation.results["overall"]["accuracy"])


main = partial(hydra_command, _task, "evaluate")
