"""`ser compare <run> <run> ...`: metrics, differences and changed recordings of two or more runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="folders with predictions.csv, or of runs; the first is compared with"),
    ],
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="print CSV, one line per run")] = False,
) -> int:
    """Compare runs on the recordings that all of them scored.

    Prints their metrics, what each gains in UAR against the first run, with a bootstrap interval over speakers, and
    which recordings changed from wrong to right and from right to wrong.
    """
    if json and csv:
        raise typer.BadParameter("give one of --json and --csv, not both.")

    from ser.evaluation.compare import as_csv, as_json, as_text
    from ser.evaluation.compare import compare as compare_runs

    write = as_json if json else as_csv if csv else as_text
    sys.stdout.write(write(compare_runs(runs)))
    return 0
