"""The command that a run or a cross-validation was begun with: kept in its folder, and named in its results."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser.data.files import write_text_atomically

OVERRIDES = "overrides.txt"

NOT_OF_THE_RECIPE = re.compile(
    r"paths\..*|hydra\..*|trainer\.(accelerator|devices|num_nodes)|data\.(root|download|workers|shards)|ckpt_path|score_test"
    r"|reference_files|jobs|folds|seeds"
)
"""Keys that a person sets for a machine or an occasion; they change no network."""
_OF_CROSS_VALIDATION = re.compile(r"folds|n_folds|seeds|jobs|bootstrap_\w+|target_selective_accuracy|ckpt_path")
_PLAIN = re.compile(r"[\w@%+=:,./\[\]-]*")


def remember_overrides(folder: Path, overrides: Sequence[str]) -> None:
    """Write the arguments of the command that begins in `folder`, one per line; those of an earlier one stay."""
    path = folder / OVERRIDES
    if not path.exists() and "ckpt_path" not in map(override_key, overrides):
        write_text_atomically(path, "".join(f"{override}\n" for override in overrides))


def read_overrides(folder: Path) -> list[str] | None:
    """Return those arguments, or None where they were not kept."""
    path = folder / OVERRIDES
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else None


def overrides_of_run(run_dir: Path, configuration: Mapping[str, Any]) -> list[str] | None:
    """Return the overrides that train a run alone: its own, or those of its cross-validation, with its fold and seed.

    None where they are not known.
    """
    own = read_overrides(run_dir)
    if own is not None or (of_all := read_overrides(run_dir.parent)) is None:
        return own
    data, seed = configuration["data"], configuration["seed"]
    fold = "null" if data["fold"] is None else data["fold"]
    kept = [one for one in of_all if not _OF_CROSS_VALIDATION.fullmatch(override_key(one))]
    return [*kept, f"data.split={data['split']}", f"data.fold={fold}", f"seed={seed}"]


def override_key(override: str) -> str:
    """Return the key of an override of Hydra, such as "model.lr" of "++model.lr=0.1"."""
    return override.partition("=")[0].lstrip("+~")


def command_line(program: str, words: Sequence[str]) -> str:
    """Return the line to type: a program, such as "ser train", and words, in quotes where a shell would change them."""
    return " ".join([program, *(_quoted(word) for word in words)])


def overridden(
    configuration: Mapping[str, Any], overrides: Sequence[str] | None
) -> dict[str, bool | int | float | str]:
    """Return the settings of a run that its command or its sweep gave, for a table of runs.

    Parameters
    ----------
    configuration : of the run, resolved.
    overrides : those that the run was begun with, None where they are not known.

    Returns
    -------
    Key -> the value in `configuration`, or what was typed for a choice of a group, such as "debug" of
    `experiment=debug`. Keys of the machine are left out. Where none is left: the name of the run as "experiment", its
    seed and, where there is one, its fold.
    """
    rows: dict[str, bool | int | float | str] = {}
    for override in overrides or ():
        key, _, typed = override.partition("=")
        name = override_key(override)
        if NOT_OF_THE_RECIPE.fullmatch(name):
            continue
        value: Any = configuration
        for step in name.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is None or isinstance(value, Mapping):
            value = "removed" if key.startswith("~") else typed
        rows[name] = value if isinstance(value, (bool, int, float, str)) else str(value)
    if not rows:
        rows = {"experiment": configuration["run_name"], "seed": configuration["seed"]}
        if (fold := configuration["data"].get("fold")) is not None:
            rows["data.fold"] = fold
    return rows


def _quoted(word: str) -> str:
    return word if _PLAIN.fullmatch(word) else "'{}'".format(word.replace("'", "'\"'\"'"))
