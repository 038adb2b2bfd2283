"""The command that a cross-validation was begun with: kept in its folder, and named in its results."""

import re
from collections.abc import Sequence
from pathlib import Path

from ser.data.files import write_text_atomically
from ser.training.cross_validation.settings import CrossValidationSettings

OVERRIDES = "overrides.txt"

_OF_THE_MACHINE = ("paths.", "hydra.", "trainer.accelerator", "trainer.devices")
_NOT_OF_THE_RECIPE = (
    "ckpt_path",
    "score_test",
    "reference_files",
    "jobs",
    "data.root",
    "data.download",
    "data.workers",
)
_PLAIN = re.compile(r"[\w@%+=:,./\[\]-]*")


def remember_overrides(folder: Path, overrides: Sequence[str]) -> None:
    """Write the arguments of the command that begins in `folder`, one per line; those of an earlier one stay."""
    path = folder / OVERRIDES
    resumed = any(override.startswith("ckpt_path=") for override in overrides)
    if not resumed and not path.exists():
        write_text_atomically(path, "".join(f"{override}\n" for override in overrides))


def begun_by(folder: Path, settings: CrossValidationSettings) -> str | None:
    """Return the command that trains the runs of `folder` anew elsewhere, or None where it was not kept.

    Keys of the machine are left out; folds and seeds are those of `settings`, which a resumed cross-validation may
    change.
    """
    path = folder / OVERRIDES
    if not path.is_file():
        return None
    kept = [
        override
        for override in path.read_text(encoding="utf-8").splitlines()
        if not _key(override).startswith(_OF_THE_MACHINE)
        and _key(override) not in (*_NOT_OF_THE_RECIPE, "folds", "seeds")
    ]
    folds = settings.folds if isinstance(settings.folds, (int, str)) else _listed(settings.folds)
    words = [*kept, f"folds={folds}", f"seeds={_listed(settings.seeds)}"]
    return " ".join(["python cross_validate.py", *(w if _PLAIN.fullmatch(w) else f"'{w}'" for w in words)])


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _listed(values: Sequence[int | str]) -> str:
    return f"[{','.join(map(str, values))}]"
