"""The scores of a cross-validation: by run, by seed over the folds, and pooled over all with intervals over actors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from ser.corpora.ravdess import CHANNELS, RecordingName
from ser.evaluation.calibration import log_loss
from ser.evaluation.cross_validation.predictions import FoldModel, Predictions, ensemble, pooled, read_model
from ser.evaluation.cross_validation.record import CrossValidation, Part
from ser.evaluation.intervals import accuracy, actor_interval, confusions_by_actor, unweighted_average_recall
from ser.evaluation.metrics import (
    Metrics,
    ReliabilityBin,
    expected_calibration_error,
    reliability_bins,
)

_GROUPS: dict[str, tuple[tuple[str, ...], Callable[[RecordingName], str]]] = {
    "channel": (CHANNELS, lambda name: name.channel),
    "gender": (("female", "male"), lambda name: name.gender),
}
_RESAMPLED = {"accuracy": accuracy, "uar": unweighted_average_recall}


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of one set of recordings: fractions in [0, 1], log-losses in nats.

    Attributes
    ----------
    accuracy, uar : as in `ser.evaluation.metrics.Metrics`.
    log_loss, calibration_error : of the probabilities without temperature; the error has 15 bins of equal width.
    calibrated_log_loss, calibrated_calibration_error : the same with the temperature.
    coverage : the fraction of recordings whose confidence reaches the rejection threshold.
    selective_accuracy : the accuracy on those; None where there are none.
    """

    accuracy: float
    uar: float
    log_loss: float
    calibration_error: float
    calibrated_log_loss: float
    calibrated_calibration_error: float
    coverage: float
    selective_accuracy: float | None


SCORES = tuple(each.name for each in fields(Scores))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and sample standard deviation over seeds; the deviation of one seed is None, as is the mean of none."""

    mean: float | None
    sd: float | None

    @classmethod
    def over(cls, values: Sequence[float | None]) -> "Spread":
        """Summarise `values`; those that are None are left out."""
        known = [value for value in values if value is not None]
        return cls(
            mean=float(np.mean(known)) if known else None,
            sd=float(np.std(known, ddof=1)) if len(known) > 1 else None,
        )


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """All folds' recordings of one part as one set.

    Attributes
    ----------
    scores : name of a score -> spread over seeds.
    intervals : "accuracy" and "uar" -> 95% interval of the mean over seeds, from a bootstrap over actors.
    overall : the metrics of the recordings of all seeds together; each recording counts once a seed.
    groups : "channel" and "gender" -> group -> its metrics, as far as the groups occur.
    reliability : "network" (without temperature) and "calibrated" (with it) -> the bins of
        `ser.evaluation.metrics.reliability_bins`, of all seeds together.
    """

    scores: Mapping[str, Spread]
    intervals: Mapping[str, tuple[float, float]]
    overall: Metrics
    groups: Mapping[str, Mapping[str, Metrics]]
    reliability: Mapping[str, tuple[ReliabilityBin, ...]]


@dataclass(frozen=True, kw_only=True)
class PartSummary:
    """The scores of one part, "validation" or "test".

    Attributes
    ----------
    fold_means : seed, and None for the ensemble -> name of a score -> its mean over folds.
    fold_mean : name of a score -> spread of that over seeds.
    pooled : the runs of all seeds.
    ensemble : their ensemble; None with a single seed.
    """

    fold_means: Mapping[int | None, Mapping[str, float | None]]
    fold_mean: Mapping[str, Spread]
    pooled: Pooled
    ensemble: Pooled | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that the report shows.

    Attributes
    ----------
    models : one for each fold and seed, then, with more than one seed, an ensemble for each fold.
    scores : the scores of each of them, part by part, in the same order.
    """

    cross_validation: CrossValidation
    models: tuple[FoldModel, ...]
    scores: tuple[Mapping[Part, Scores], ...]
    parts: Mapping[Part, PartSummary]


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
    return Summary(
        cross_validation=cross_validation,
        models=everyone,
        scores=tuple({part: scores_of(predictions) for part, predictions in one.parts.items()} for one in everyone),
        parts={part: _part_summary(models, ensembles, part, cross_validation) for part in cross_validation.parts},
    )


def scores_of(predictions: Predictions) -> Scores:
    """Return the scores of a set of recordings that is not empty."""
    truth, predicted, accepted = predictions.truth, predictions.predicted, predictions.accepted
    confusion = confusion_matrix(truth, predicted, labels=range(predictions.probabilities.shape[1]))
    return Scores(
        accuracy=float(accuracy(confusion)),
        uar=float(unweighted_average_recall(confusion)),
        log_loss=log_loss(predictions.probabilities, truth),
        calibration_error=expected_calibration_error(predictions.probabilities, truth),
        calibrated_log_loss=log_loss(predictions.calibrated, truth),
        calibrated_calibration_error=expected_calibration_error(predictions.calibrated, truth),
        coverage=float(accepted.mean()),
        selective_accuracy=float((truth == predicted)[accepted].mean()) if accepted.any() else None,
    )


def _part_summary(
    models: Sequence[FoldModel],
    ensembles: Sequence[FoldModel],
    part: Part,
    cross_validation: CrossValidation,
) -> PartSummary:
    by_seed = [[model.parts[part] for model in models if model.seed == seed] for seed in cross_validation.seeds]
    together = [model.parts[part] for model in ensembles]
    fold_means: dict[int | None, dict[str, float | None]] = {
        seed: _fold_means(folds) for seed, folds in zip(cross_validation.seeds, by_seed, strict=True)
    }
    fold_mean = {name: Spread.over([means[name] for means in fold_means.values()]) for name in SCORES}
    if together:
        fold_means[None] = _fold_means(together)
    return PartSummary(
        fold_means=fold_means,
        fold_mean=fold_mean,
        pooled=_pooled([pooled(folds) for folds in by_seed], cross_validation),
        ensemble=_pooled([pooled(together)], cross_validation) if together else None,
    )


def _fold_means(folds: Sequence[Predictions]) -> dict[str, float | None]:
    of_folds = [scores_of(fold) for fold in folds]
    return {name: Spread.over([getattr(one, name) for one in of_folds]).mean for name in SCORES}


def _pooled(by_seed: Sequence[Predictions], cross_validation: CrossValidation) -> Pooled:
    class_names = cross_validation.class_names
    of_seeds = [scores_of(one) for one in by_seed]
    everything = pooled(by_seed)
    groups: dict[str, dict[str, Metrics]] = {}
    for kind, (members, of) in _GROUPS.items():
        kinds = np.array([of(name) for name in everything.names])
        groups[kind] = {
            member: _metrics(everything.where(kinds == member), class_names)
            for member in members
            if (kinds == member).any()
        }
    by_actor = [
        confusions_by_actor(one.truth, one.predicted, [name.actor for name in one.names], len(class_names))
        for one in by_seed
    ]
    confusions = np.array([list(of_actor.values()) for of_actor in by_actor])
    return Pooled(
        scores={name: Spread.over([getattr(one, name) for one in of_seeds]) for name in SCORES},
        intervals={
            name: actor_interval(
                confusions,
                statistic,
                resamples=cross_validation.bootstrap_resamples,
                seed=cross_validation.bootstrap_seed,
            )
            for name, statistic in _RESAMPLED.items()
        },
        overall=_metrics(everything, class_names),
        groups=groups,
        reliability={
            "network": reliability_bins(everything.probabilities, everything.truth),
            "calibrated": reliability_bins(everything.calibrated, everything.truth),
        },
    )


def _metrics(predictions: Predictions, class_names: Sequence[str]) -> Metrics:
    counts = confusion_matrix(predictions.truth, predictions.predicted, labels=range(len(class_names)))
    return Metrics.from_confusion(counts, class_names)


def as_plain(summary: Summary) -> dict[str, Any]:
    """Return the content of results.json: plain values that follow from the predictions and settings alone."""
    cross_validation = summary.cross_validation
    return {
        "protocol": cross_validation.protocol,
        "keeps_last": cross_validation.keeps_last,
        "command": cross_validation.command,
        "folds": list(cross_validation.folds),
        "seeds": list(cross_validation.seeds),
        "class_names": list(cross_validation.class_names),
        "bootstrap": cross_validation.bootstrap(),
        "target_selective_accuracy": cross_validation.target_selective_accuracy,
        "summary": {
            part: {
                "mean_over_folds": _plain_spreads(one.fold_mean),
                "mean_over_folds_by_seed": {seed_name(seed): dict(means) for seed, means in one.fold_means.items()},
                "pooled": _plain_pooled(one.pooled),
                "ensemble_pooled": _plain_pooled(one.ensemble) if one.ensemble else None,
            }
            for part, one in summary.parts.items()
        },
        "runs": [
            {
                "fold": model.fold,
                "seed": seed_name(model.seed),
                "temperature": model.temperature,
                "rejection_threshold": model.rejection_threshold,
                **{
                    part: {"n_recordings": len(model.parts[part].truth), **vars(of_part)}
                    for part, of_part in scores.items()
                },
            }
            for model, scores in zip(summary.models, summary.scores, strict=True)
        ],
    }


def seed_name(seed: int | None) -> str:
    """Return what a model is called in every table: its seed, or "ensemble"."""
    return "ensemble" if seed is None else str(seed)


def _plain_spreads(spreads: Mapping[str, Spread]) -> dict[str, dict[str, float | None]]:
    return {name: dict(vars(spread)) for name, spread in spreads.items()}


def _plain_pooled(pooled: Pooled) -> dict[str, Any]:
    return {
        **_plain_spreads(pooled.scores),
        "interval_95": {name: list(ends) for name, ends in pooled.intervals.items()},
        "all_seeds": pooled.overall.as_plain(),
        "by_group": {
            kind: {
                member: {"n_recordings": metrics.n_recordings, **metrics.headline()}
                for member, metrics in members.items()
            }
            for kind, members in pooled.groups.items()
        },
        "reliability": {kind: [dict(vars(each)) for each in bins] for kind, bins in pooled.reliability.items()},
    }
