"""The files in the folder of a run."""

import json
from pathlib import Path

from ser.errors import CheckpointError

CONFIGURATION = "config.yaml"
"""The resolved configuration."""
SPLIT = "split.csv"
"""Which recording is in which part; the first that a run leaves once it has its data."""
OUTCOME = "job.json"
"""What a run leaves when it ends, with its `error` if it failed; `ser.training.outcome` says what else is in it."""
CHECKPOINTS = "checkpoints"
SWEEP = "multirun.yaml"
"""Hydra's, of a sweep."""
BEST, LAST = "best.ckpt", "last.ckpt"


def find_checkpoint(path: Path, *, which: str = BEST) -> Path:
    """Return `path`, or the checkpoint `which` of it where it is a run's folder, or of its newest run.

    Raises
    ------
    CheckpointError : there is none.
    """
    if path.is_dir():
        run = newest_run(path) or path
        candidates = [run / CHECKPOINTS / which, run / which]
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        jobs = sorted(path.glob(f"*/{CHECKPOINTS}/{which}"))
        if jobs and _holds_any(path, CONFIGURATION, SWEEP):
            raise CheckpointError(
                f"{path} is a sweep or a cross-validation; name one of its runs, such as {jobs[0].parent.parent}."
            )
        raise CheckpointError(
            f"{path} holds no checkpoint ({candidates[0]} is missing) and no finished run; "
            "give a run's folder, a folder of runs or a file."
        )
    if not path.is_file():
        what = " is a device or a pipe" if path.exists() else ": there is no such checkpoint"
        raise CheckpointError(f"{path}{what}; give a .ckpt file or a run's folder.")
    return path


def newest_run(folder: Path) -> Path | None:
    """Return the run in a folder of runs, such as `outputs/train`, that was finished last.

    None where there is none, and where `folder` is a run itself, or a cross-validation or a sweep, whose runs are no
    versions of one model.
    """
    if _holds_any(folder, CONFIGURATION, CHECKPOINTS, SWEEP):
        return None
    ended = sorted(folder.glob(f"*/{OUTCOME}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return next((path.parent for path in ended if not json.loads(path.read_text(encoding="utf-8")).get("error")), None)


def _holds_any(folder: Path, *names: str) -> bool:
    return any((folder / name).exists() for name in names)


def run_of(path: Path) -> Path:
    """Return the folder of the run that `path` (a run's folder, or a checkpoint in it) belongs to.

    Raises
    ------
    CheckpointError : it belongs to none.
    """
    run = path.parent.parent if path.is_file() and path.parent.name == CHECKPOINTS else path
    if not (run / CONFIGURATION).is_file():
        raise CheckpointError(
            f"ckpt_path is {path}, which is no run: it should be a folder that holds {CONFIGURATION}."
        )
    return run
