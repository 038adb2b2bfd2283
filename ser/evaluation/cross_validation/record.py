"""A cross-validation as its folder describes it: which runs, which parts, and the settings of its scores."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ser.errors import CheckpointError

Part = Literal["validation", "test"]

RESULTS = "results.json"
PREDICTIONS = "predictions.csv"
CORPUS_FOLD = "corpus_"
"""What the name of a fold begins with that leaves out a corpus."""


@dataclass(frozen=True, kw_only=True)
class FoldRun:
    """One training run: a fold and a seed, and the folder that holds its predictions and checkpoint.

    Attributes
    ----------
    fold : a name of `ser.corpora.splits.FOLDS`, "random", or one of another set, such as "corpus_nemo".
    """

    folder: Path
    fold: str
    seed: int

    def predictions(self, part: Part) -> Path:
        """Return the file with the run's predictions of the recordings of `part`."""
        return self.folder / ("test" if part == "test" else "") / PREDICTIONS


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """A cross-validation, in the terms that its evaluation needs.

    Attributes
    ----------
    folder : holds one folder for each run, `fold_<fold>_seed_<seed>`.
    protocol : what was trained, tested and chosen on which recordings; printed above every metric.
    parts : what the runs have scored: "validation" and, where it is scored, "test".
    class_names : of all runs, in the order of the probabilities; the model of a fold may lack some.
    bootstrap_resamples, bootstrap_seed : of the intervals over speakers.
    target_selective_accuracy : the accuracy, in (0, 1], that the rejection threshold of each run aims at on validation.
    keeps_last : whether each run keeps its last epoch, so that validation recordings chose no checkpoint.
    command : the command that trains the runs and writes the results; None where it is not known.
    """

    folder: Path
    protocol: str
    folds: tuple[str, ...]
    seeds: tuple[int, ...]
    parts: tuple[Part, ...]
    class_names: tuple[str, ...]
    bootstrap_resamples: int
    bootstrap_seed: int
    target_selective_accuracy: float
    keeps_last: bool = False
    command: str | None = None

    @property
    def runs(self) -> tuple[FoldRun, ...]:
        """All runs, seed by seed."""
        return tuple(
            FoldRun(folder=run_folder(self.folder, fold, seed), fold=fold, seed=seed)
            for seed in self.seeds
            for fold in self.folds
        )

    @property
    def resampling(self) -> dict[str, int]:
        """The arguments of the bootstrap, as in `ser.evaluation.intervals.speaker_interval`."""
        return {"resamples": self.bootstrap_resamples, "seed": self.bootstrap_seed}

    def bootstrap(self) -> dict[str, str | int]:
        """Return the entry on the bootstrap in results.json and robustness.json."""
        return {"over": "speakers", **self.resampling}


def run_folder(folder: Path, fold: str, seed: int) -> Path:
    """Return the folder of a run inside that of its cross-validation."""
    return folder / f"fold_{fold}_seed_{seed}"


def read_cross_validation(folder: Path) -> CrossValidation:
    """Return the finished cross-validation in `folder`, wherever that folder was when it ran.

    Raises
    ------
    CheckpointError : there is none, or predictions of some of its runs are missing.
    """
    values = read_results(folder)
    cross_validation = CrossValidation(
        folder=folder,
        protocol=values["protocol"],
        folds=tuple(values["folds"]),
        seeds=tuple(values["seeds"]),
        parts=tuple(values["summary"]),
        class_names=tuple(values["class_names"]),
        bootstrap_resamples=values["bootstrap"]["resamples"],
        bootstrap_seed=values["bootstrap"]["seed"],
        target_selective_accuracy=values["target_selective_accuracy"],
        keeps_last=values["keeps_last"],
        command=values["command"],
    )
    runs, parts = cross_validation.runs, cross_validation.parts
    missing = [run.folder.name for run in runs if not all(run.predictions(part).is_file() for part in parts)]
    if missing:
        raise CheckpointError(
            f"{len(missing)} of {len(runs)} runs of {folder} are not finished ({', '.join(missing)}); continue with: "
            f"ser cross-validate ckpt_path={folder}"
        )
    return cross_validation


def read_results(folder: Path) -> dict[str, Any]:
    """Return the content of results.json in `folder`.

    Raises
    ------
    CheckpointError : it is missing, damaged, or lacks keys that this release writes.
    """
    path = folder / RESULTS
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no {RESULTS}; give the folder of a finished cross-validation.")
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON.") from error
    needed = {"protocol", "keeps_last", "command", "folds", "seeds", "class_names", "bootstrap", "summary", "runs"}
    needed.add("target_selective_accuracy")
    try:
        summaries = values["summary"].values()
        complete = needed <= values.keys() and all("reliability" in part["pooled"] for part in summaries)
    except (AttributeError, KeyError, TypeError):
        complete = False
    if not complete:
        raise CheckpointError(
            f"{path} lacks values that this release writes; write it again, which trains nothing: "
            f"ser cross-validate ckpt_path={folder}"
        )
    return values
