"""Evaluate a model: `python evaluate.py [checkpoint=<run folder, file or name>] [test_dir=<RAVDESS-named files>]`."""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(configuration: DictConfig) -> float:
    """Check the settings, score the recordings, report; return the accuracy."""
    from ser.command_line import one_sentence_errors, plain

    with one_sentence_errors():
        from ser.evaluation import EvaluationSettings, evaluate
        from ser.settings import read_settings

        return evaluate(read_settings(EvaluationSettings, plain(configuration), where="evaluate")).overall.accuracy


if __name__ == "__main__":
    from ser.command_line import run_command

    run_command(main)
