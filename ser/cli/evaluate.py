"""Evaluate a model: `python evaluate.py [checkpoint=<run folder, file or name>] [test_dir=<RAVDESS-named files>]`."""

from collections.abc import Sequence

from omegaconf import DictConfig

from ser.cli.hydra_command import hydra_command


def _task(configuration: DictConfig) -> float:
    """Check the settings, score the recordings, report; return the accuracy."""
    from ser.evaluation.evaluate import EvaluationSettings, evaluate
    from ser.features.validation import read_settings
    from ser.training.configuration import plain

    return evaluate(read_settings(EvaluationSettings, plain(configuration), where="evaluate")).overall.accuracy


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments`, overrides of Hydra; None takes those of the command line."""
    return hydra_command(_task, "evaluate", arguments)
