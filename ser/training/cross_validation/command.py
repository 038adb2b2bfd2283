"""The command that a cross-validation was begun with, as its results name it."""

from pathlib import Path

from ser.training.cross_validation.settings import CrossValidationSettings
from ser.training.overrides import NOT_OF_THE_RECIPE, command_line, override_key, read_overrides


def begun_by(folder: Path, settings: CrossValidationSettings) -> str | None:
    """Return the command that trains the runs of `folder` anew elsewhere, or None where it was not kept.

    Keys of the machine are left out; folds and seeds are those of `settings`, which a resumed cross-validation may
    change.
    """
    overrides = read_overrides(folder)
    if overrides is None:
        return None
    words = [override for override in overrides if not NOT_OF_THE_RECIPE.fullmatch(override_key(override))]
    for key, values in (("folds", settings.folds), ("seeds", settings.seeds)):
        words.append(f"{key}={values}" if isinstance(values, (int, str)) else f"{key}=[{','.join(map(str, values))}]")
    return command_line("ser cross-validate", words)
