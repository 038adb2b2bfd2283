"""The predictions of the runs: read back, calibrated on validation, and averaged into an ensemble."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser.corpora.ravdess import RecordingName, parse_stem
from ser.errors import CorpusError
from ser.evaluation.calibration import apply_temperature, fit_rejection_threshold, fit_temperature
from ser.evaluation.cross_validation.record import CrossValidation, FoldRun, Part


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Predictions of one model, or of several one after the other.

    Attributes
    ----------
    names : [n], what the file names say.
    truth : int64 [n], class numbers.
    probabilities : float64 [n, classes], of the network, without temperature.
    calibrated : float64 [n, classes], with the temperature; the same as `probabilities` until there is one.
    accepted : bool [n], whether the calibrated confidence reaches the rejection threshold.
    """

    names: tuple[RecordingName, ...]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    calibrated: NDArray[np.float64]
    accepted: NDArray[np.bool_]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """int64 [n], the class that is the most probable; the first of equals."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    def where(self, chosen: NDArray[np.bool_]) -> "Predictions":
        """Return the recordings for which `chosen`, bool [n], is true."""
        return Predictions(
            names=tuple(name for name, is_chosen in zip(self.names, chosen, strict=True) if is_chosen),
            truth=self.truth[chosen],
            probabilities=self.probabilities[chosen],
            calibrated=self.calibrated[chosen],
            accepted=self.accepted[chosen],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldModel:
    """One model of one fold: its predictions, and what was chosen on its validation recordings.

    Attributes
    ----------
    seed : of the run, or None for the ensemble of all seeds.
    parts : "validation" and, where it is scored, "test".
    temperature : that minimises the log-loss of the validation recordings.
    rejection_threshold : the lowest calibrated confidence of an accepted prediction; None rejects all.
    """

    fold: str
    seed: int | None
    parts: dict[Part, Predictions]
    temperature: float
    rejection_threshold: float | None


def read_model(run: FoldRun, cross_validation: CrossValidation) -> FoldModel:
    """Read the predictions of a finished run and choose its temperature and rejection threshold.

    Raises
    ------
    CorpusError : a file is not what a run writes; it names it.
    """
    parts: dict[Part, Predictions] = {
        part: read_predictions(run.predictions(part), cross_validation.class_names) for part in cross_validation.parts
    }
    return _calibrated(run.fold, run.seed, parts, target=cross_validation.target_selective_accuracy)


def ensemble(models: Sequence[FoldModel], *, target_selective_accuracy: float) -> FoldModel:
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
    return _calibrated(first.fold, None, parts, target=target_selective_accuracy)


def pooled(predictions: Sequence[Predictions]) -> Predictions:
    """Return the recordings of all, one after the other."""
    return Predictions(
        names=tuple(name for one in predictions for name in one.names),
        truth=np.concatenate([one.truth for one in predictions]),
        probabilities=np.concatenate([one.probabilities for one in predictions]),
        calibrated=np.concatenate([one.calibrated for one in predictions]),
        accepted=np.concatenate([one.accepted for one in predictions]),
    )


def _calibrated(fold: str, seed: int | None, parts: dict[Part, Predictions], *, target: float) -> FoldModel:
    validation = parts["validation"]
    temperature = fit_temperature(validation.probabilities, validation.truth)
    threshold = fit_rejection_threshold(
        apply_temperature(validation.probabilities, temperature), validation.truth, accuracy=target
    )

    def calibrate(predictions: Predictions) -> Predictions:
        calibrated = apply_temperature(predictions.probabilities, temperature)
        accepted = calibrated.max(axis=1) >= (np.inf if threshold is None else threshold)
        return replace(predictions, calibrated=calibrated, accepted=accepted)

    return FoldModel(
        fold=fold,
        seed=seed,
        parts={part: calibrate(predictions) for part, predictions in parts.items()},
        temperature=temperature,
        rejection_threshold=threshold,
    )


def read_predictions(path: Path, classes: Sequence[str]) -> Predictions:
    """Read what `ser.evaluation.report.format_predictions` wrote.

    Raises
    ------
    CorpusError : the file is something else; it names it.
    """
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
        accepted=np.ones(len(rows), dtype=bool),
    )
