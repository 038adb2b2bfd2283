"""The scores of a cross-validation in speaker context: folds as one set, seeds as means."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from ser.evaluation.calibration import apply_temperature
from ser.evaluation.context.draws import SPEAKER
from ser.evaluation.context.predictions import FILE, read_context_predictions
from ser.evaluation.context.scores import Tables, context_scores
from ser.evaluation.cross_validation.record import CrossValidation, FoldRun, Part
from ser.evaluation.predictions import probabilities_of, with_classes, with_probabilities


def with_contexts(model: pd.DataFrame, run: FoldRun) -> pd.DataFrame:
    """Return the predictions of a run, and as further rows those of the same recordings in speaker context.

    That is what a temperature and a rejection threshold have to serve. Contexts are those of the speaker, of each size;
    there are none of a model that takes no context.

    Raises
    ------
    CorpusError : a file is damaged, or of other recordings than the run's.
    """
    tables = [model]
    for part, rows in model.groupby("part", sort=False):
        path = run.predictions(part).with_name(FILE)
        if path.is_file():
            found = read_context_predictions(path).tables(rows)
            tables += [table[model.columns] for context, table in found.items() if context.kind == SPEAKER]
    return pd.concat(tables, ignore_index=True)


def scores_in_context(
    part: Part,
    models: Sequence[tuple[pd.DataFrame, float]],
    classes: Mapping[str, Collection[str]],
    cross_validation: CrossValidation,
) -> list[dict[str, Any]]:
    """Return the rows of `ser.evaluation.context.scores.context_scores`; none where a run has no such predictions.

    Calibration error and log-loss are with temperature.

    Parameters
    ----------
    models : the predictions and the temperature of each run, in the order of the runs; more may follow.
    classes : corpus -> the classes that it has.

    Raises
    ------
    CorpusError : a file is damaged, or of other recordings than the run's.
    """
    runs = cross_validation.runs
    paths = [run.predictions(part).with_name(FILE) for run in runs]
    if not all(path.is_file() for path in paths):
        return []
    by_seed: dict[int, list[Tables]] = {}
    for run, path, (model, temperature) in zip(runs, paths, models, strict=False):
        tables = read_context_predictions(path).tables(model[model["part"] == part])
        by_seed.setdefault(run.seed, []).append(
            {
                context: with_classes(
                    with_probabilities(one, apply_temperature(probabilities_of(one), temperature)),
                    cross_validation.class_names,
                )
                for context, one in tables.items()
            }
        )
    folds = [one for of_seed in by_seed.values() for one in of_seed]
    shared = [context for context in folds[0] if all(context in one for one in folds)]
    pooled = [
        {context: pd.concat([one[context] for one in of_seed], ignore_index=True) for context in shared}
        for of_seed in by_seed.values()
    ]
    return [] if pooled[0][shared[0]].empty else context_scores(pooled, classes, **cross_validation.resampling)
