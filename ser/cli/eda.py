"""`ser eda [plot_emotions | table]`: explore the corpus; any setting of `conf/eda.yaml` as `key=value`."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from ser.cli.hydra_command import hydra_command
from ser.cli.own_folder import is_named_by_time
from ser.data.files import claim_folder


def _task(configuration: DictConfig) -> None:
    """Check the settings, analyse, write."""
    # Imported here, so that `--help` and the refusal of a misspelt key are quick.
    from ser.eda.analysis import EdaSettings, run
    from ser.features.validation import read_settings
    from ser.training.components import TARGET
    from ser.training.config import with_own_parts
    from ser.training.configuration import plain

    values = plain(configuration)
    values["data"].pop(TARGET, None)  # what training makes of the group
    settings = read_settings(EdaSettings, with_own_parts(values), where="eda")
    if settings.output_path is not None or not is_named_by_time(configuration, "output_dir"):
        run(settings)
        return
    folder = claim_folder(Path(settings.output_dir))  # another analysis may begin in this second
    try:
        run(replace(settings, output_dir=str(folder)))
    finally:
        with suppress(OSError):
            folder.rmdir()  # where nothing was written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments`, a bare word in front being the task; None takes those of the command line."""
    first, *others = (sys.argv[1:] if arguments is None else arguments) or ["task=report"]
    is_word = not first.startswith("-") and "=" not in first
    return hydra_command(_task, "eda", [f"task={first}" if is_word else first, *others])
