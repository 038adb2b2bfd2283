"""What the runs said of their recordings, read back, calibrated on validation, and averaged into an ensemble."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser.corpora.ravdess import RecordingName, parse_stem
from ser.errors import CorpusError
from ser.evaluation.calibration import apply_temperature, fit_rejection_threshold, fit_temperature
from ser.training.cross_validation.plan import FoldRun
from ser.training.cross_validation.settings import Part


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What one model, or several one after the other, said of recordings.

    Attributes
    ----------
    names : [n], what the file names say.
    truth : int64 [n], class numbers.
    probabilities : float64 [n, classes], as the network gives them.
    calibrated : float64 [n, classes], by the temperature; the same as `probabilities` until there is one.
    certain : bool [n], whether the calibrated confidence reaches the threshold of "uncertain".
    """

    names: tuple[RecordingName, ...]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    calibrated: NDArray[np.float64]
    certain: NDArray[np.bool_]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """int64 [n], the class that is the most probable; the first of equals."""
        return self.probabilities.argmax(axis=1)

    def where(self, chosen: NDArray[np.bool_]) -> "Predictions":
        """Return the recordings for which `chosen`, bool [n], is true."""
        return Predictions(
            names=tuple(name for name, is_chosen in zip(self.names, chosen, strict=True) if is_chosen),
            truth=self.truth[chosen],
            probabilities=self.probabilities[chosen],
            calibrated=self.calibrated[chosen],
            certain=self.certain[chosen],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldModel:
    """One model of one fold: what it said, and what was chosen on its validation recordings.

    Attributes
    ----------
    seed : of the run, or None for the ensemble of all seeds.
    parts : "validation" and, where it is scored, "test".
    temperature : that minimises the log-loss of the validation recordings.
    threshold : the least calibrated confidence of an answer that is not called uncertain; None calls all uncertain.
    """

    fold: str
    seed: int | None
    parts: dict[Part, Predictions]
    temperature: float
    threshold: float | None


def read_model(run: FoldRun, *, selective_accuracy: float) -> FoldModel:
    """Read the predictions of a finished run and choose its temperature and threshold.

    Raises
    ------
    CorpusError : a file is not what a run writes; it names it.
    """
    classes = run.settings.data.classes
    parts: dict[Part, Predictions] = {part: _read(run.predictions(part), classes) for part in run.parts}
    return _calibrated(run.fold, run.seed, parts, selective_accuracy=selective_accuracy)


def ensemble(models: Sequence[FoldModel], *, selective_accuracy: float) -> FoldModel:
    """Return the ensemble of one fold's models: their probabilities averaged, then calibrated as one model.

    Raises
    ------
    CorpusError : the models did not score the same recordings.
    """
    first = models[0]
    parts: dict[Part, Predictions] = {}
    for part, predictions in first.parts.items():
        if any(model.parts[part].names != predictions.names for model in models):
            raise CorpusError(
                f"The runs of {first.fold} scored different {part} recordings; the corpus must stay the same for all."
            )
        mean = np.mean([model.parts[part].probabilities for model in models], axis=0)
        parts[part] = replace(predictions, probabilities=mean)
    return _calibrated(first.fold, None, parts, selective_accuracy=selective_accuracy)


def pooled(predictions: Sequence[Predictions]) -> Predictions:
    """Return the recordings of all, one after the other."""
    return Predictions(
        names=tuple(name for one in predictions for name in one.names),
        truth=np.concatenate([one.truth for one in predictions]),
        probabilities=np.concatenate([one.probabilities for one in predictions]),
        calibrated=np.concatenate([one.calibrated for one in predictions]),
        certain=np.concatenate([one.certain for one in predictions]),
    )


def _calibrated(fold: str, seed: int | None, parts: dict[Part, Predictions], *, selective_accuracy: float) -> FoldModel:
    validation = parts["validation"]
    temperature = fit_temperature(validation.probabilities, validation.truth)
    threshold = fit_rejection_threshold(
        apply_temperature(validation.probabilities, temperature), validation.truth, accuracy=selective_accuracy
    )

    def judged(predictions: Predictions) -> Predictions:
        calibrated = apply_temperature(predictions.probabilities, temperature)
        certain = calibrated.max(axis=1) >= (np.inf if threshold is None else threshold)
        return replace(predictions, calibrated=calibrated, certain=certain)

    return FoldModel(
        fold=fold,
        seed=seed,
        parts={part: judged(predictions) for part, predictions in parts.items()},
        temperature=temperature,
        threshold=threshold,
    )


def _read(path: Path, classes: Sequence[str]) -> Predictions:
    """Read what `ser.evaluation.report.format_predictions` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [parse_stem(row["file"]) for row in rows] if rows and "file" in rows[0] else []
    columns = [f"p_{name}" for name in classes]
    if not names or None in names or not set(columns) <= set(rows[0]):
        raise CorpusError(f"{path} is not the predictions of a run of these classes; delete it and start again.")
    probabilities = np.array([[float(row[column]) for column in columns] for row in rows])
    return Predictions(
        names=tuple(name for name in names if name is not None),
        truth=np.array([classes.index(row["true"]) for row in rows]),
        probabilities=probabilities,
        calibrated=probabilities,
        certain=np.ones(len(rows), dtype=bool),
    )
