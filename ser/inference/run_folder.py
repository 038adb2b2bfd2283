"""The files in the folder of a run."""

from pathlib import Path

from ser.errors import CheckpointError

CONFIGURATION = "config.yaml"
"""The resolved configuration."""
CHECKPOINTS = "checkpoints"
BEST, LAST = "best.ckpt", "last.ckpt"


def find_checkpoint(path: Path, *, which: str = BEST) -> Path:
    """Return `path`, or the checkpoint `which` of it where it is a run's folder.

    Raises
    ------
    CheckpointError : there is none.
    """
    if path.is_dir():
        candidates = [path / CHECKPOINTS / which, path / which]
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        raise CheckpointError(
            f"{path} holds no checkpoint ({candidates[0]} is missing); give a run's folder or a file."
        )
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint; give a .ckpt file or a run's folder.")
    return path


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
