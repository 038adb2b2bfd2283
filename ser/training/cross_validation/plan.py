"""From one configuration to that of each run; whether a folder that is already there belongs to it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ser.errors import CheckpointError, SettingsError
from ser.evaluation.cross_validation.record import CORPUS_FOLD, FoldRun, Part, run_folder
from ser.features.validation import read_settings
from ser.inference.run_folder import CONFIGURATION, run_of
from ser.training.config import RunSettings, read_run_settings
from ser.training.configuration import fit_to_targets, plain, read_configuration
from ser.training.cross_validation.settings import CORPORA, RANDOM, SPEAKERS, CrossValidationSettings
from ser.training.initial_settings import fit_to_initial_model
from ser.training.launcher import Job, quoted
from ser.training.outcome import in_folder
from ser.training.overrides import override_key

_OWN = {field.name for field in fields(CrossValidationSettings)}
_FREE = {*_OWN, "score_test", "ckpt_path"}  # they change no network, so a resumed cross-validation may change them
_NOT_COMPARED = {*_FREE, "paths.run_dir"}
_OF_FOLDS = tuple(
    f"data.{key}" for key in ("split", "fold", "n_folds", "validation_speakers", "test_speakers", "test_corpora")
)
_SET_BY = {"seed": "seeds"} | dict.fromkeys(_OF_FOLDS, "folds")


@dataclass(frozen=True, kw_only=True)
class PlannedRun(FoldRun):
    """A training run, finished or not: `configuration` is what its config.yaml holds, `settings` the same as read."""

    configuration: Mapping[str, Any]
    settings: RunSettings

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that it scores: "validation" and, unless it is not to be scored, "test"."""
        has_test = self.fold != RANDOM or self.settings.data.val_size > 0
        return ("validation", "test") if has_test and self.settings.score_test else ("validation",)

    @property
    def job(self) -> Job:
        """The job that trains it. New or half done, it starts alike: from the configuration in its folder."""
        resume = f"ckpt_path={quoted(self.folder)}"
        return Job(folder=self.folder, module="ser.cli.train", arguments=(resume,), configuration=self.configuration)


def settle(configuration: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return the configuration to continue with: that of the folder, if a cross-validation was begun there.

    Parameters
    ----------
    configuration : as composed from `overrides`, the arguments of the command.

    Raises
    ------
    CheckpointError : `ckpt_path` names no cross-validation.
    SettingsError : the command gives other settings than the folder has, or one that folds or seeds decide.
    """
    given = {override_key(override) for override in overrides}
    for key, by in _SET_BY.items():
        if key in given:
            raise SettingsError(f"{key} is set by {by} in a cross-validation; leave it out.")
    if configuration.ckpt_path is not None:
        run_of(Path(configuration.ckpt_path))
    else:
        fit_to_targets(configuration, overrides)
        fit_to_initial_model(configuration, overrides)
    folder = Path(configuration.paths.run_dir)
    if not (folder / CONFIGURATION).is_file():
        return configuration
    saved = read_configuration(folder)
    if "folds" not in saved:
        raise CheckpointError(f"{folder} is no folder of a cross-validation; name one, or another folder.")
    # With ckpt_path alone the folder's settings are meant; else the command states its own, and they must agree.
    if configuration.ckpt_path is None or not given <= _FREE:
        _refuse_differences(plain(configuration), in_folder(plain(saved), str(folder)), folder=folder)
    for key in (given & _FREE) - {"ckpt_path"}:
        saved[key] = configuration[key]
    return saved


def plan(configuration: DictConfig) -> tuple[CrossValidationSettings, list[PlannedRun]]:
    """Return the settings and the runs, seed by seed.

    Raises
    ------
    SettingsError : something is wrong with the settings, or a run's folder holds a run of others.
    """
    values = plain(configuration)
    settings = read_settings(CrossValidationSettings, {k: v for k, v in values.items() if k in _OWN}, where="")
    folds = settings.fold_names
    if folds == (CORPORA,):
        corpora = values["data"].get("corpora")
        if not corpora:
            raise SettingsError("folds is 'corpora', each of several left out in turn; name them by data.corpora.")
        folds = tuple(f"{CORPUS_FOLD}{name}" for name in corpora)
    runs = [_fold_run(configuration, fold, seed, settings.n_folds) for seed in settings.seeds for fold in folds]
    monitored = str(configuration.optimized_metric)
    if not monitored.startswith("val/"):
        raise SettingsError(f"optimized_metric is {monitored!r}, but a cross-validation has validation metrics only.")
    for run in runs:
        if (run.folder / CONFIGURATION).is_file():
            # The whole may have been moved since.
            saved = in_folder(plain(read_configuration(run.folder)), str(run.folder))
            _refuse_differences(run.configuration, saved, folder=run.folder)
    return settings, runs


def _fold_run(configuration: DictConfig, fold: str, seed: int, n_folds: int) -> PlannedRun:
    folder = run_folder(Path(configuration.paths.run_dir), fold, seed)
    chosen = OmegaConf.masked_copy(configuration, [key for key in map(str, configuration) if key not in _OWN])
    # Before anything is resolved: other keys may follow the seed, as data.augment_seed does.
    chosen.seed = seed
    chosen.ckpt_path = None
    split: dict[str, Any] = {"split": "random", "fold": None, "n_folds": None, "test_corpora": []}
    if fold.startswith(CORPUS_FOLD):
        split |= {"split": "corpus", "n_folds": n_folds, "test_corpora": [fold.removeprefix(CORPUS_FOLD)]}
    elif fold.startswith(f"{SPEAKERS}_"):
        split |= {"split": "speaker", "fold": int(fold.rpartition("_")[2]), "n_folds": n_folds}
    elif fold != RANDOM:
        split |= {"split": "speaker", "fold": fold}
    chosen.data.update(validation_speakers=[], test_speakers=[], **split)
    chosen.paths.run_dir = str(folder)
    resolved = plain(chosen)
    return PlannedRun(folder=folder, fold=fold, seed=seed, configuration=resolved, settings=read_run_settings(resolved))


def _refuse_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, folder: Path) -> None:
    our_values, their_values = dict(_dotted(ours)), dict(_dotted(theirs))
    # The keys of outer groups first: those of inner ones may follow them, as model.optimiser.lr follows model.lr.
    for key in sorted({**our_values, **their_values}, key=_depth):
        our_value, their_value = our_values.get(key), their_values.get(key)
        if our_value != their_value and key not in _NOT_COMPARED:
            raise SettingsError(
                f"{key} is {our_value!r}, but {folder} was begun with {their_value!r}; a cross-validation that is "
                "resumed keeps its settings: give ckpt_path alone, or start anew in another folder."
            )


def _depth(key: str) -> int:
    return key.count(".")


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
