"""The scores of a cross-validation: by run, by seed over the folds, and pooled with intervals over speakers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from ser.corpora.manifest import CHANNELS, GENDERS
from ser.evaluation.calibration import log_loss
from ser.evaluation.cross_validation.context import scores_in_context, with_contexts
from ser.evaluation.cross_validation.predictions import ENSEMBLE, calibrate, ensemble, of_other_corpora, read_run
from ser.evaluation.cross_validation.record import CrossValidation
from ser.evaluation.intervals import accuracy, confusions_by_speaker, speaker_interval, unweighted_average_recall
from ser.evaluation.metrics import classification_metrics, expected_calibration_error, group_metrics, reliability_bins
from ser.evaluation.predictions import (
    class_names_of,
    class_numbers,
    classes_by_corpus,
    closed_set,
    probabilities_of,
    resampled_units,
    with_classes,
)

_RESAMPLED = {"accuracy": accuracy, "uar": unweighted_average_recall}

Spread = dict[str, float | None]
"""The mean and the sample standard deviation ("sd"); the deviation of one value is None, as is the mean of none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """Everything that the report shows.

    Attributes
    ----------
    predictions : the calibrated predictions of one model for each fold and seed, then, with more than one seed, of an
        ensemble for each fold; the columns are in `ser.evaluation.cross_validation.predictions`.
    results : the content of results.json: plain values that follow from the predictions and settings alone.

        - summary: part -> its scores: mean_over_folds (score -> spread over seeds), mean_over_folds_by_seed (seed or
          "ensemble" -> score -> value), and of all folds' recordings as one set pooled (the runs of all seeds) and
          ensemble_pooled (None with a single seed). A pooled set has, beside the spread of each score over seeds,
          interval_95 (of the mean over seeds, from a bootstrap over speakers), all_seeds (the metrics of all seeds
          together; each recording counts once a seed), by_group (as far as the groups occur) and reliability (bins of
          all seeds together, "network" without and "calibrated" with temperature). by_corpus: the name of each corpus
          -> n_recordings, n_speakers, classes (that it has in any part), the spreads of the scores on its recordings,
          of closed_set_uar among them, and closed_set_uar_interval_95; mean_over_corpora: the spread of the mean of
          each score over the corpora.
        - runs: one entry for each model, in the same order.
        - context: part -> the rows of `ser.evaluation.cross_validation.context`; {} where the models take no context.
    """

    predictions: pd.DataFrame
    results: dict[str, Any]


def summarise(cross_validation: CrossValidation) -> Summary:
    """Read the predictions of all runs and compute all scores.

    Raises
    ------
    CorpusError : a file of predictions is damaged, or the runs of a fold scored different recordings.
    """
    models = [read_run(run, cross_validation) for run in cross_validation.runs]
    in_contexts = [with_contexts(model, run) for model, run in zip(models, cross_validation.runs, strict=True)]
    if len(cross_validation.seeds) > 1:
        n_folds = len(cross_validation.folds)
        ensembles = [ensemble(models[fold::n_folds]) for fold in range(n_folds)]
        models, in_contexts = models + ensembles, in_contexts + ensembles
    target = cross_validation.target_selective_accuracy
    calibrated = [
        calibrate(model, accuracy=target, on=of_other_corpora(one, in_contexts) or [one[one["part"] == "validation"]])
        for model, one in zip(models, in_contexts, strict=True)
    ]
    with_temperatures = [
        (model, chosen["temperature"] or 1.0) for model, (_, chosen) in zip(models, calibrated, strict=True)
    ]
    class_names = cross_validation.class_names
    calibrated = [(with_classes(model, class_names), chosen) for model, chosen in calibrated]
    predictions = pd.concat([model for model, _ in calibrated], ignore_index=True)
    classes = classes_by_corpus(predictions["corpus"], predictions["true"], class_names)
    results = {
        "protocol": cross_validation.protocol,
        "keeps_last": cross_validation.keeps_last,
        "command": cross_validation.command,
        "folds": list(cross_validation.folds),
        "seeds": list(cross_validation.seeds),
        "class_names": list(cross_validation.class_names),
        "bootstrap": cross_validation.bootstrap(),
        "target_selective_accuracy": cross_validation.target_selective_accuracy,
        "summary": {
            part: _part_summary(predictions[predictions["part"] == part], classes, cross_validation)
            for part in cross_validation.parts
        },
        "runs": [
            {
                "fold": model["fold"].iloc[0],
                "seed": model["seed"].iloc[0],
                **chosen,
                **{
                    part: {"n_recordings": len(rows), **scores_of(rows)}
                    for part, rows in model.groupby("part", sort=False)
                },
            }
            for model, chosen in calibrated
        ],
        "context": {
            part: rows
            for part in cross_validation.parts
            if (rows := scores_in_context(part, with_temperatures, classes, cross_validation))
        },
    }
    return Summary(predictions=predictions, results=results)


def scores_of(predictions: pd.DataFrame) -> dict[str, float | None]:
    """Return the scores of a set of recordings that is not empty: fractions in [0, 1], log-losses in nats.

    - accuracy, uar: as in `ser.evaluation.metrics.classification_metrics`.
    - log_loss, calibration_error: of the probabilities without temperature; the error has 15 bins of equal width.
    - calibrated_log_loss, calibrated_calibration_error: the same with the temperature.
    - coverage: the fraction of recordings whose confidence reaches the rejection threshold.
    - selective_accuracy: the accuracy on those; None where there are none.
    """
    truth, accepted = class_numbers(predictions), predictions["accepted"]
    probabilities, calibrated = (probabilities_of(predictions, prefix) for prefix in ("p", "c"))
    correct = predictions["true"] == predictions["predicted"]
    confusion = confusion_matrix(predictions["true"], predictions["predicted"], labels=class_names_of(predictions))
    return {
        "accuracy": float(accuracy(confusion)),
        "uar": float(unweighted_average_recall(confusion)),
        "log_loss": log_loss(probabilities, truth),
        "calibration_error": expected_calibration_error(probabilities, truth),
        "calibrated_log_loss": log_loss(calibrated, truth),
        "calibrated_calibration_error": expected_calibration_error(calibrated, truth),
        "coverage": float(accepted.mean()),
        "selective_accuracy": float(correct[accepted].mean()) if accepted.any() else None,
    }


def spreads(scores: Sequence[Mapping[str, float | None]]) -> dict[str, Spread]:
    """Return the spread of each score over several sets of scores; values that are None are left out."""
    table = pd.DataFrame(scores, dtype=np.float64)
    return {
        name: {
            "mean": float(np.mean(known)) if len(known) else None,
            "sd": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        }
        for name, known in ((str(name), column.dropna().to_numpy()) for name, column in table.items())
    }


def _part_summary(
    predictions: pd.DataFrame, classes: Mapping[str, Collection[str]], cross_validation: CrossValidation
) -> dict[str, Any]:
    by_seed = dict(list(predictions.groupby("seed", sort=False)))
    means = {seed: _fold_means(rows) for seed, rows in by_seed.items()}
    together = by_seed.pop(ENSEMBLE, None)
    return {
        "mean_over_folds": spreads([means[seed] for seed in by_seed]),
        "mean_over_folds_by_seed": means,
        "pooled": _pooled(list(by_seed.values()), cross_validation),
        "ensemble_pooled": None if together is None else _pooled([together], cross_validation),
        **_by_corpus(list(by_seed.values()), classes, cross_validation),
    }


def _by_corpus(
    by_seed: Sequence[pd.DataFrame], classes: Mapping[str, Collection[str]], cross_validation: CrossValidation
) -> dict[str, Any]:
    """Return by_corpus and mean_over_corpora of the predictions of each seed."""
    entries, scores = dict[str, Any](), list[list[dict[str, float | None]]]()
    for corpus in sorted(set(by_seed[0]["corpus"])):
        of_seed = [rows[rows["corpus"] == corpus] for rows in by_seed]
        closed = [closed_set(rows, classes) for rows in of_seed]
        confusions = _confusions_by_speaker(closed, len(cross_validation.class_names))
        uars = unweighted_average_recall(confusions.sum(axis=1))
        found = [{**scores_of(rows), "closed_set_uar": float(uar)} for rows, uar in zip(of_seed, uars, strict=True)]
        ends = speaker_interval(confusions, unweighted_average_recall, **cross_validation.resampling)
        entries[corpus] = {
            "n_recordings": len(of_seed[0]),
            "n_speakers": len(set(of_seed[0]["speaker"]) - {""}),
            "classes": list(classes[corpus]),
            **spreads(found),
            "closed_set_uar_interval_95": list(ends),
        }
        scores.append(found)
    means = [{name: one["mean"] for name, one in spreads(of_seed).items()} for of_seed in zip(*scores, strict=True)]
    return {"by_corpus": entries, "mean_over_corpora": spreads(means)}


def _fold_means(predictions: pd.DataFrame) -> dict[str, float | None]:
    folds = [scores_of(rows) for _, rows in predictions.groupby("fold", sort=False)]
    return {name: spread["mean"] for name, spread in spreads(folds).items()}


def _pooled(by_seed: Sequence[pd.DataFrame], cross_validation: CrossValidation) -> dict[str, Any]:
    together = pd.concat(by_seed)
    truth = class_numbers(together)
    confusions = _confusions_by_speaker(by_seed, len(cross_validation.class_names))
    return {
        **spreads([scores_of(rows) for rows in by_seed]),
        "interval_95": {
            name: list(speaker_interval(confusions, statistic, **cross_validation.resampling))
            for name, statistic in _RESAMPLED.items()
        },
        "all_seeds": classification_metrics(together),
        "by_group": {
            "channel": group_metrics(together, together["channel"], CHANNELS),
            "gender": group_metrics(together, together["gender"], GENDERS),
        },
        "reliability": {
            kind: reliability_bins(probabilities_of(together, prefix), truth)
            for kind, prefix in (("network", "p"), ("calibrated", "c"))
        },
    }


def _confusions_by_speaker(by_seed: Sequence[pd.DataFrame], n_classes: int) -> NDArray[np.int64]:
    """Return the counts of the predictions of each seed, [seeds, speakers, classes, classes]."""
    by_speaker = [
        confusions_by_speaker(class_numbers(rows), class_numbers(rows, "predicted"), resampled_units(rows), n_classes)
        for rows in by_seed
    ]
    return np.array([list(of_speaker.values()) for of_speaker in by_speaker])
