"""Evaluate a model: `python evaluate.py [checkpoint=<run folder, file or name>] [test_dir=<RAVDESS-named files>]`."""

from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from ser.cli.hydra_command import CONF, one_sentence_errors, run_command


@hydra.main(version_base="1.3", config_path=CONF, config_name="evaluate")
def _task(configuration: DictConfig) -> float:
    """Check the settings, score the recordings, report; return the accuracy."""
    from ser.training.configuration import plain

    with one_sentence_errors():
        from ser.evaluation.evaluate import EvaluationSettings, evaluate
        from ser.features.validation import read_settings

        return evaluate(read_settings(EvaluationSettings, plain(configuration), where="evaluate")).overall.accuracy


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments`, overrides of Hydra; None takes those of the command line."""
    return run_command(_task, arguments)
