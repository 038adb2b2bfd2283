"""`ser sweep status <folder>`: how far a sweep, a search or a cross-validation is."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ser.errors import SettingsError

STATUS = "status"


def sweep(
    task: Annotated[str, typer.Argument(help=f"what to do: {STATUS}")],
    folder: Annotated[Path, typer.Argument(help="the folder of a sweep, of `ser tune` or of a cross-validation")],
) -> int:
    """List the jobs that are finished, running, failed and missing, and the best so far.

    The exit status is 0 where all are finished, 3 while jobs run, and 1 where none runs and some are not finished.
    """
    from ser.training.sweep_status import format_status, sweep_status

    if task != STATUS:
        raise SettingsError(f"{task!r} is no task of ser sweep; write `ser sweep {STATUS} {folder}`.")
    status = sweep_status(folder)
    sys.stdout.write(format_status(status))
    return status.exit_status
