"""`python -m ser.eda [plot_emotions | table]`: look at the corpus; any setting of `conf/eda.yaml` as `key=value`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=str(Path(__file__).parents[2] / "conf"), config_name="eda")
def main(configuration: DictConfig) -> None:
    """Check the settings, look, write."""
    # Imported here, so that `--help` and a misspelt key are answered at once.
    from ser.command_line import one_sentence_errors, plain

    with one_sentence_errors():
        from ser.eda.analysis import run
        from ser.eda.settings import EdaSettings
        from ser.settings import read_settings

        run(read_settings(EdaSettings, plain(configuration), where="eda"))


def as_overrides(arguments: Sequence[str]) -> list[str]:
    """Return the arguments as Hydra reads them: a bare word in front is the task.

    >>> as_overrides(["table", "output_path=features.parquet"])
    ['task=table', 'output_path=features.parquet']
    """
    first, *others = arguments or ["task=report"]
    is_word = not first.startswith("-") and "=" not in first
    return [f"task={first}" if is_word else first, *others]


if __name__ == "__main__":
    from ser.command_line import run_command

    sys.argv[1:] = as_overrides(sys.argv[1:])
    run_command(main)
