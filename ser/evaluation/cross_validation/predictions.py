"""The predictions of the runs: read back, averaged into an ensemble, and calibrated on validation.

All are tables as of `ser.evaluation.predictions.prediction_table`, with the columns fold, seed and part; calibrated
ones also have accepted and, for each class, `c_<class>`.
"""

import statistics
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser.errors import CorpusError
from ser.evaluation.calibration import apply_temperature, fit_rejection_threshold, fit_temperature
from ser.evaluation.cross_validation.record import CORPUS_FOLD, CrossValidation, FoldRun
from ser.evaluation.predictions import (
    class_names_of,
    class_numbers,
    probabilities_of,
    probability_columns,
    read_predictions,
    with_probabilities,
)

ENSEMBLE = "ensemble"
"""The seed, in every table, of the ensemble of all seeds."""


def read_run(run: FoldRun, cross_validation: CrossValidation) -> pd.DataFrame:
    """Return the predictions of a finished run, part after part; the classes are those of its model.

    Raises
    ------
    CorpusError : a file is not what a run writes; it names it.
    """
    paths = {part: run.predictions(part) for part in cross_validation.parts}
    tables = {part: read_predictions(path, cross_validation.class_names) for part, path in paths.items()}
    class_names = class_names_of(next(iter(tables.values())))
    for part, table in tables.items():
        if class_names_of(table) != class_names:
            raise CorpusError(f"{paths[part]} is of other classes than the run's; delete it and start again.")
    named = [table.assign(fold=run.fold, seed=str(run.seed), part=part) for part, table in tables.items()]
    return pd.concat(named, ignore_index=True)


def ensemble(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the ensemble of one fold's runs: their probabilities averaged, then scored as one model.

    Raises
    ------
    CorpusError : the runs did not score the same recordings.
    """
    first = runs[0]
    if any(class_names_of(run) != class_names_of(first) for run in runs):
        fold = first["fold"].iloc[0]
        raise CorpusError(f"The runs of {fold} have different classes; the corpus must stay the same for all.")
    for part, rows in first.groupby("part", sort=False):
        if any(list(run["file"][run["part"] == part]) != list(rows["file"]) for run in runs):
            fold = first["fold"].iloc[0]
            raise CorpusError(
                f"The runs of {fold} scored different {part} recordings; the corpus must stay the same for all."
            )
    mean = np.mean([probabilities_of(run) for run in runs], axis=0)
    return with_probabilities(first.assign(seed=ENSEMBLE), mean)


def calibrate(
    predictions: pd.DataFrame, *, accuracy: float, on: Sequence[pd.DataFrame]
) -> tuple[pd.DataFrame, dict[str, float | None]]:
    """Calibrate one model on its validation recordings, or on what other models predict.

    Parameters
    ----------
    accuracy : in (0, 1], of accepted predictions, that the rejection threshold aims at.
    on : a table of its validation recordings, or tables of what other models predict of corpora that they were not
        trained on; a recording may be there in several contexts.

    Returns
    -------
    predictions : with accepted, whether the calibrated confidence reaches the threshold, and `c_<class>`, the
        probabilities with the temperature.
    chosen : temperature, that minimises the log-loss, and rejection_threshold, the lowest calibrated confidence of an
        accepted prediction; None rejects all. Of several tables, the geometric mean of their temperatures, and the mean
        of their thresholds, of which one that rejects all counts as 1: so that small corpora count as large ones do.
    """
    tables = [(probabilities_of(one), class_numbers(one)) for one in on]
    temperature = statistics.geometric_mean(fit_temperature(*table) for table in tables)
    found = [
        fit_rejection_threshold(apply_temperature(p, temperature), truth, accuracy=accuracy) for p, truth in tables
    ]
    threshold = None if None in found and len(found) == 1 else statistics.fmean(1.0 if t is None else t for t in found)
    calibrated = apply_temperature(probabilities_of(predictions), temperature)
    accepted = calibrated.max(axis=1) >= (np.inf if threshold is None else threshold)
    columns = dict(zip(probability_columns(class_names_of(predictions), "c"), calibrated.T, strict=True))
    chosen = {"temperature": temperature, "rejection_threshold": threshold}
    return predictions.assign(accepted=accepted, **columns), chosen


def of_other_corpora(predictions: pd.DataFrame, models: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return the test predictions of the models of the same seed that left out another corpus; none of other folds."""
    fold, seed = predictions["fold"].iloc[0], predictions["seed"].iloc[0]
    if not fold.startswith(CORPUS_FOLD):
        return []
    others = [one for one in models if one["seed"].iloc[0] == seed and one["fold"].iloc[0] != fold]
    return [table for one in others if len(table := one[one["part"] == "test"])]
