"""From one configuration to that of each run; whether a folder that is already there belongs to it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ser.errors import CheckpointError, SettingsError
from ser.features.validation import read_settings
from ser.inference.run_folder import CONFIGURATION, run_of
from ser.training.config import RunSettings, read_run_settings
from ser.training.configuration import plain, read_configuration
from ser.training.cross_validation.settings import RANDOM, CrossValidationSettings, Part

_OWN = tuple(field.name for field in fields(CrossValidationSettings))
_FREE = (*_OWN, "score_test", "ckpt_path")  # they change no network, so a resumed cross-validation may change them
_NOT_COMPARED = (*_FREE, "paths.run_dir")
_SET_BY = {
    "seed": "seeds",
    "data.split": "folds",
    "data.fold": "folds",
    "data.validation_actors": "folds",
    "data.test_actors": "folds",
}


@dataclass(frozen=True, kw_only=True)
class FoldRun:
    """One training run of a cross-validation.

    Attributes
    ----------
    fold : a name of `ser.corpora.splits.FOLDS`, or "random".
    configuration : what its folder's config.yaml says, resolved.
    settings : the same, checked.
    """

    fold: str
    seed: int
    configuration: Mapping[str, Any]
    settings: RunSettings

    @property
    def folder(self) -> Path:
        return self.settings.run_dir

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that it scores: "validation" and, unless it stays unscored, "test"."""
        data = self.settings.data
        has_test = data.split == "speaker" or data.val_size > 0
        return ("validation", "test") if has_test and self.settings.score_test else ("validation",)

    def predictions(self, part: Part) -> Path:
        """Return where it leaves what it said of the recordings of `part`."""
        return self.folder / ("test" if part == "test" else "") / "predictions.csv"

    @property
    def is_finished(self) -> bool:
        written = [*map(self.predictions, self.parts), self.folder / "learning_curve.png"]
        return all(path.is_file() for path in written)


def settle(configuration: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return the configuration to go on with: that of the folder, where a cross-validation was begun there.

    Parameters
    ----------
    configuration : as composed from `overrides`, the arguments of the command.

    Raises
    ------
    CheckpointError : `ckpt_path` names no cross-validation.
    SettingsError : the command gives other settings than the folder has, or one that folds or seeds decide.
    """
    given = [override.partition("=")[0].lstrip("+~") for override in overrides]
    for key in given:
        if key in _SET_BY:
            raise SettingsError(f"{key} is set by {_SET_BY[key]} in a cross-validation; leave it out.")
    if configuration.ckpt_path is not None:
        run_of(Path(configuration.ckpt_path))
    begun = Path(configuration.paths.run_dir) / CONFIGURATION
    if not begun.is_file():
        return configuration
    saved = _saved(begun.parent)
    # With ckpt_path alone the folder's settings are meant; else the command states its own, and they must agree.
    if configuration.ckpt_path is None or not set(given) <= set(_FREE):
        _refuse_differences(plain(configuration), plain(saved), folder=begun.parent)
    for key in (set(given) & set(_FREE)) - {"ckpt_path"}:
        saved[key] = configuration[key]
    return saved


def plan(configuration: DictConfig) -> tuple[CrossValidationSettings, list[FoldRun]]:
    """Return the settings and the runs, seed by seed.

    Raises
    ------
    SettingsError : something is wrong with the settings, or a run's folder holds a run of others.
    """
    own = {key: value for key, value in plain(configuration).items() if key in _OWN}
    settings = read_settings(CrossValidationSettings, own, where="")
    runs = [_fold_run(configuration, fold, seed) for seed in settings.seeds for fold in settings.fold_names]
    monitored = str(configuration.optimized_metric)
    if not monitored.startswith("val/"):
        raise SettingsError(f"optimized_metric is {monitored!r}, but a cross-validation has validation figures only.")
    for run in runs:
        there = run.folder / CONFIGURATION
        if there.is_file():
            _refuse_differences(run.configuration, plain(read_configuration(run.folder)), folder=run.folder)
    return settings, runs


def finished_runs(folder: Path) -> tuple[CrossValidationSettings, list[FoldRun]]:
    """Return the settings and the runs of the cross-validation in `folder`, wherever that lay while it ran.

    Raises
    ------
    CheckpointError : there is none, or some of its runs are not finished.
    SettingsError : as `plan`.
    """
    if not (folder / CONFIGURATION).is_file():
        raise CheckpointError(f"{folder} is no folder of a cross-validation: it holds no {CONFIGURATION}.")
    configuration = _saved(folder)
    configuration.paths.run_dir = str(folder)
    settings, runs = plan(configuration)
    if missing := [run.folder.name for run in runs if not run.is_finished]:
        raise CheckpointError(
            f"{len(missing)} of {len(runs)} runs of {folder} are not finished ({', '.join(missing)}); go on with: "
            f"python cross_validate.py ckpt_path={folder}"
        )
    return settings, runs


def _saved(folder: Path) -> DictConfig:
    saved = read_configuration(folder)
    if "folds" not in saved:
        raise CheckpointError(f"{folder} is no folder of a cross-validation; name one, or another folder.")
    return saved


def _fold_run(configuration: DictConfig, fold: str, seed: int) -> FoldRun:
    folder = Path(configuration.paths.run_dir) / f"fold_{fold}_seed_{seed}"
    chosen = OmegaConf.masked_copy(configuration, [key for key in configuration if key not in _OWN])
    # Before anything is resolved: other keys may follow the seed, as data.augment_seed does.
    chosen.seed = seed
    chosen.ckpt_path = None
    chosen.data.update(
        split="random" if fold == RANDOM else "speaker",
        fold=None if fold == RANDOM else fold,
        validation_actors=[],
        test_actors=[],
    )
    chosen.paths.run_dir = str(folder)
    resolved = plain(chosen)
    return FoldRun(fold=fold, seed=seed, configuration=resolved, settings=read_run_settings(resolved))


def _refuse_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, folder: Path) -> None:
    found = next((difference for difference in _differences(ours, theirs) if difference[0] not in _NOT_COMPARED), None)
    if found is not None:
        key, our_value, their_value = found
        raise SettingsError(
            f"{key} is {our_value!r}, but {folder} was begun with {their_value!r}; a cross-validation that is resumed "
            "keeps its settings: give ckpt_path alone, or start anew in another folder."
        )


def _differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted key, our value and theirs wherever they differ; a missing key has the value None."""
    for key in dict.fromkeys([*ours, *theirs]):
        our_value, their_value = ours.get(key), theirs.get(key)
        if isinstance(our_value, Mapping) and isinstance(their_value, Mapping):
            yield from _differences(our_value, their_value, f"{prefix}{key}.")
        elif our_value != their_value:
            yield f"{prefix}{key}", our_value, their_value
