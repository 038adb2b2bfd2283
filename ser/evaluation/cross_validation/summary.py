"""The scores of a cross-validation: by run, by seed over the folds, and pooled over all with intervals over actors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from ser.corpora.ravdess import CHANNELS, RecordingName
from ser.evaluation.calibration import log_loss
from ser.evaluation.cross_validation.predictions import FoldModel, Predictions, ensemble, pooled, read_model
from ser.evaluation.cross_validation.record import CrossValidation, Part
from ser.evaluation.intervals import accuracy, actor_interval, confusions_by_actor, unweighted_average_recall
from ser.evaluation.metrics import (
    Metrics,
    expected_calibration_error,
    reliability_bins,
)

_GROUPS: dict[str, tuple[tuple[str, ...], Callable[[RecordingName], str]]] = {
    "channel": (CHANNELS, lambda name: name.channel),
    "gender": (("female", "male"), lambda name: name.gender),
}
_RESAMPLED = {"accuracy": accuracy, "uar": unweighted_average_recall}


Spread = dict[str, float | None]
"""The mean and the sample standard deviation ("sd"); the deviation of one value is None, as is the mean of none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """Everything that the report shows.

    Attributes
    ----------
    models : one for each fold and seed, then, with more than one seed, an ensemble for each fold.
    results : the content of results.json: plain values that follow from the predictions and settings alone.

        - summary: part -> its scores: mean_over_folds (score -> spread over seeds), mean_over_folds_by_seed (seed or
          "ensemble" -> score -> value), and of all folds' recordings as one set pooled (the runs of all seeds) and
          ensemble_pooled (None with a single seed). A pooled set has, beside the spread of each score over seeds,
          interval_95 (of the mean over seeds, from a bootstrap over actors), all_seeds (the metrics of all seeds
          together; each recording counts once a seed), by_group (as far as the groups occur) and reliability (bins of
          all seeds together, "network" without and "calibrated" with temperature).
        - runs: one entry for each of `models`, in their order.
    """

    cross_validation: CrossValidation
    models: tuple[FoldModel, ...]
    results: dict[str, Any]


def summarise(cross_validation: CrossValidation) -> Summary:
    """Read the predictions of all runs and compute all scores.

    Raises
    ------
    CorpusError : a file of predictions is damaged, or the runs of a fold scored different recordings.
    """
    models = [read_model(run, cross_validation) for run in cross_validation.runs]
    ensembles: list[FoldModel] = []
    if len(cross_validation.seeds) > 1:
        target = cross_validation.target_selective_accuracy
        by_fold = [[model for model in models if model.fold == fold] for fold in cross_validation.folds]
        ensembles = [ensemble(of_fold, target_selective_accuracy=target) for of_fold in by_fold]
    everyone = (*models, *ensembles)
    results = {
        "protocol": cross_validation.protocol,
        "keeps_last": cross_validation.keeps_last,
        "command": cross_validation.command,
        "folds": list(cross_validation.folds),
        "seeds": list(cross_validation.seeds),
        "class_names": list(cross_validation.class_names),
        "bootstrap": cross_validation.bootstrap(),
        "target_selective_accuracy": cross_validation.target_selective_accuracy,
        "summary": {part: _part_summary(models, ensembles, part, cross_validation) for part in cross_validation.parts},
        "runs": [
            {
                "fold": model.fold,
                "seed": seed_name(model.seed),
                "temperature": model.temperature,
                "rejection_threshold": model.rejection_threshold,
                **{part: {"n_recordings": len(one.truth), **scores_of(one)} for part, one in model.parts.items()},
            }
            for model in everyone
        ],
    }
    return Summary(cross_validation=cross_validation, models=everyone, results=results)


def seed_name(seed: int | None) -> str:
    """Return what a model is called in every table: its seed, or "ensemble"."""
    return "ensemble" if seed is None else str(seed)


def scores_of(predictions: Predictions) -> dict[str, float | None]:
    """Return the scores of a set of recordings that is not empty: fractions in [0, 1], log-losses in nats.

    - accuracy, uar: as in `ser.evaluation.metrics.Metrics`.
    - log_loss, calibration_error: of the probabilities without temperature; the error has 15 bins of equal width.
    - calibrated_log_loss, calibrated_calibration_error: the same with the temperature.
    - coverage: the fraction of recordings whose confidence reaches the rejection threshold.
    - selective_accuracy: the accuracy on those; None where there are none.
    """
    truth, predicted, accepted = predictions.truth, predictions.predicted, predictions.accepted
    confusion = confusion_matrix(truth, predicted, labels=range(predictions.probabilities.shape[1]))
    return {
        "accuracy": float(accuracy(confusion)),
        "uar": float(unweighted_average_recall(confusion)),
        "log_loss": log_loss(predictions.probabilities, truth),
        "calibration_error": expected_calibration_error(predictions.probabilities, truth),
        "calibrated_log_loss": log_loss(predictions.calibrated, truth),
        "calibrated_calibration_error": expected_calibration_error(predictions.calibrated, truth),
        "coverage": float(accepted.mean()),
        "selective_accuracy": float((truth == predicted)[accepted].mean()) if accepted.any() else None,
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
    models: Sequence[FoldModel], ensembles: Sequence[FoldModel], part: Part, cross_validation: CrossValidation
) -> dict[str, Any]:
    by_seed = [[model.parts[part] for model in models if model.seed == seed] for seed in cross_validation.seeds]
    together = [model.parts[part] for model in ensembles]
    means = {str(seed): _fold_means(folds) for seed, folds in zip(cross_validation.seeds, by_seed, strict=True)}
    return {
        "mean_over_folds": spreads(list(means.values())),
        "mean_over_folds_by_seed": means | ({seed_name(None): _fold_means(together)} if together else {}),
        "pooled": _pooled([pooled(folds) for folds in by_seed], cross_validation),
        "ensemble_pooled": _pooled([pooled(together)], cross_validation) if together else None,
    }


def _fold_means(folds: Sequence[Predictions]) -> dict[str, float | None]:
    return {name: spread["mean"] for name, spread in spreads([scores_of(fold) for fold in folds]).items()}


def _pooled(by_seed: Sequence[Predictions], cross_validation: CrossValidation) -> dict[str, Any]:
    class_names = cross_validation.class_names
    everything = pooled(by_seed)
    groups: dict[str, dict[str, Any]] = {}
    for kind, (members, of) in _GROUPS.items():
        kinds = np.array([of(name) for name in everything.names])
        groups[kind] = {}
        for member in members:
            if (chosen := kinds == member).any():
                metrics = _metrics(everything.where(chosen), class_names)
                groups[kind][member] = {"n_recordings": metrics.n_recordings, **metrics.headline()}
    by_actor = [
        confusions_by_actor(one.truth, one.predicted, [name.actor for name in one.names], len(class_names))
        for one in by_seed
    ]
    confusions = np.array([list(of_actor.values()) for of_actor in by_actor])
    resampling = {"resamples": cross_validation.bootstrap_resamples, "seed": cross_validation.bootstrap_seed}
    kinds_of_probabilities = {"network": everything.probabilities, "calibrated": everything.calibrated}
    return {
        **spreads([scores_of(one) for one in by_seed]),
        "interval_95": {
            name: list(actor_interval(confusions, statistic, **resampling)) for name, statistic in _RESAMPLED.items()
        },
        "all_seeds": _metrics(everything, class_names).as_plain(),
        "by_group": groups,
        "reliability": {
            kind: [dict(vars(each)) for each in reliability_bins(probabilities, everything.truth)]
            for kind, probabilities in kinds_of_probabilities.items()
        },
    }


def _metrics(predictions: Predictions, class_names: Sequence[str]) -> Metrics:
    counts = confusion_matrix(predictions.truth, predictions.predicted, labels=range(len(class_names)))
    return Metrics.from_confusion(counts, class_names)
