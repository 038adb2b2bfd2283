"""The command that a cross-validation was begun with: kept in its folder, and named in its results."""

import re
from collections.abc import Sequence
from pathlib import Path

from ser.data.files import write_text_atomically
from ser.training.cross_validation.settings import CrossValidationSettings

OVERRIDES = "overrides.txt"

_NOT_OF_THE_RECIPE = re.compile(
    r"paths\..*|hydra\..*|trainer\.(accelerator|devices)|data\.(root|download|workers)|ckpt_path|score_test"
    r"|reference_files|jobs|folds|seeds"
)
_PLAIN = re.compile(r"[\w@%+=:,./\[\]-]*")


def remember_overrides(folder: Path, overrides: Sequence[str]) -> None:
    """Write the arguments of the command that begins in `folder`, one per line; those of an earlier one stay."""
    path = folder / OVERRIDES
    if not path.exists() and "ckpt_path" not in map(override_key, overrides):
        write_text_atomically(path, "".join(f"{override}\n" for override in overrides))


def begun_by(folder: Path, settings: CrossValidationSettings) -> str | None:
    """Return the command that trains the runs of `folder` anew elsewhere, or None where it was not kept.

    Keys of the machine are left out; folds and seeds are those of `settings`, which a resumed cross-validation may
    change.
    """
    path = folder / OVERRIDES
    if not path.is_file():
        return None
    overrides = path.read_text(encoding="utf-8").splitlines()
    words = [override for override in overrides if not _NOT_OF_THE_RECIPE.fullmatch(override_key(override))]
    for key, values in (("folds", settings.folds), ("seeds", settings.seeds)):
        words.append(f"{key}={values}" if isinstance(values, (int, str)) else f"{key}=[{','.join(map(str, values))}]")
    return " ".join(["python cross_validate.py", *(w if _PLAIN.fullmatch(w) else f"'{w}'" for w in words)])


def override_key(override: str) -> str:
    """Return the key of an override of Hydra, such as "model.lr" of "++model.lr=0.1"."""
    return override.partition("=")[0].lstrip("+~")
