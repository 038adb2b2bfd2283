"""The figures of a cross-validation: by run, by seed over the folds, pooled over all, and how far actors move them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ser.corpora.ravdess import CHANNELS, RecordingName
from ser.evaluation.calibration import log_loss
from ser.evaluation.cross_validation.predictions import FoldModel, Predictions, ensemble, pooled
from ser.evaluation.intervals import accuracy, actor_interval, confusions_by_actor, unweighted_average_recall
from ser.evaluation.metrics import (
    Metrics,
    ReliabilityBin,
    confusion_matrix,
    expected_calibration_error,
    reliability_bins,
)
from ser.training.cross_validation.settings import CrossValidationSettings, Part

_GROUPS: dict[str, tuple[tuple[str, ...], Callable[[RecordingName], str]]] = {
    "channel": (CHANNELS, lambda name: name.channel),
    "gender": (("female", "male"), lambda name: name.gender),
}
_RESAMPLED = {"accuracy": accuracy, "uar": unweighted_average_recall}


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Figures of one set of recordings. Shares are in [0, 1], log-losses in nats.

    Attributes
    ----------
    accuracy, uar : as in `ser.evaluation.metrics.Metrics`.
    log_loss, calibration_error : of the probabilities as the network gives them; the error has 15 bins of equal width.
    calibrated_log_loss, calibrated_calibration_error : the same with the temperature.
    coverage : the share of recordings that are not called uncertain.
    selective_accuracy : the share of those that were recognised; None where there are none.
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
    figures : name of a figure -> spread over seeds.
    intervals : "accuracy" and "uar" -> 95% interval of the mean over seeds, from a bootstrap over actors.
    overall : the metrics of the recordings of all seeds together; each recording counts once a seed.
    groups : "channel" and "gender" -> group -> its metrics, as far as the groups occur.
    reliability : "network" (probabilities as it gives them) and "calibrated" (with the temperature) -> the bins of
        `ser.evaluation.metrics.reliability_bins`, of all seeds together.
    """

    figures: Mapping[str, Spread]
    intervals: Mapping[str, tuple[float, float]]
    overall: Metrics
    groups: Mapping[str, Mapping[str, Metrics]]
    reliability: Mapping[str, tuple[ReliabilityBin, ...]]


@dataclass(frozen=True, kw_only=True)
class PartSummary:
    """The figures of one part, "validation" or "test".

    Attributes
    ----------
    fold_means : seed, and None for the ensemble -> name of a figure -> its mean over folds.
    fold_mean : name of a figure -> spread of that over seeds.
    pooled : the runs of all seeds.
    ensemble : their ensemble; None with a single seed.
    """

    fold_means: Mapping[int | None, Mapping[str, float | None]]
    fold_mean: Mapping[str, Spread]
    pooled: Pooled
    ensemble: Pooled | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that the report says.

    Attributes
    ----------
    keeps_last : whether validation recordings chose no checkpoint: the last epoch of each run was kept.
    command : that trained the runs and prints this, as far as its folder knows it.
    models : one a fold and seed, then, with more than one seed, an ensemble a fold.
    figures : the figures of each of them, part by part, in the same order.
    """

    protocol: str
    settings: CrossValidationSettings
    class_names: tuple[str, ...]
    models: tuple[FoldModel, ...]
    figures: tuple[Mapping[Part, Scores], ...]
    parts: Mapping[Part, PartSummary]
    keeps_last: bool = False
    command: str | None = None


def summarise(
    models: Sequence[FoldModel],
    *,
    protocol: str,
    settings: CrossValidationSettings,
    class_names: tuple[str, ...],
    keeps_last: bool = False,
    command: str | None = None,
) -> Summary:
    """Compute all figures of the runs `models`, which have the same parts and, in each fold, the same recordings."""
    ensembles: list[FoldModel] = []
    if len(settings.seeds) > 1:
        by_fold = [[model for model in models if model.fold == fold] for fold in settings.fold_names]
        ensembles = [ensemble(of_fold, selective_accuracy=settings.selective_accuracy) for of_fold in by_fold]
    everyone = (*models, *ensembles)
    return Summary(
        protocol=protocol,
        settings=settings,
        class_names=class_names,
        models=everyone,
        figures=tuple({part: scores_of(scored) for part, scored in model.parts.items()} for model in everyone),
        parts={part: _part_summary(models, ensembles, part, settings, class_names) for part in models[0].parts},
        keeps_last=keeps_last,
        command=command,
    )


def scores_of(predictions: Predictions) -> Scores:
    """Return the figures of a set of recordings that is not empty."""
    truth, predicted, certain = predictions.truth, predictions.predicted, predictions.certain
    n_classes = predictions.probabilities.shape[1]
    confusion = confusion_matrix(truth, predicted, n_classes)
    return Scores(
        accuracy=float(accuracy(confusion)),
        uar=float(unweighted_average_recall(confusion)),
        log_loss=log_loss(predictions.probabilities, truth),
        calibration_error=expected_calibration_error(predictions.probabilities, truth),
        calibrated_log_loss=log_loss(predictions.calibrated, truth),
        calibrated_calibration_error=expected_calibration_error(predictions.calibrated, truth),
        coverage=float(certain.mean()),
        selective_accuracy=float((truth == predicted)[certain].mean()) if certain.any() else None,
    )


def _part_summary(
    models: Sequence[FoldModel],
    ensembles: Sequence[FoldModel],
    part: Part,
    settings: CrossValidationSettings,
    class_names: Sequence[str],
) -> PartSummary:
    by_seed = [[model.parts[part] for model in models if model.seed == seed] for seed in settings.seeds]
    together = [model.parts[part] for model in ensembles]
    fold_means: dict[int | None, dict[str, float | None]] = {
        seed: _fold_means(folds) for seed, folds in zip(settings.seeds, by_seed, strict=True)
    }
    fold_mean = {name: Spread.over([means[name] for means in fold_means.values()]) for name in SCORES}
    if together:
        fold_means[None] = _fold_means(together)
    return PartSummary(
        fold_means=fold_means,
        fold_mean=fold_mean,
        pooled=_pooled([pooled(folds) for folds in by_seed], settings, class_names),
        ensemble=_pooled([pooled(together)], settings, class_names) if together else None,
    )


def _fold_means(folds: Sequence[Predictions]) -> dict[str, float | None]:
    of_folds = [scores_of(fold) for fold in folds]
    return {name: Spread.over([getattr(one, name) for one in of_folds]).mean for name in SCORES}


def _pooled(by_seed: Sequence[Predictions], settings: CrossValidationSettings, class_names: Sequence[str]) -> Pooled:
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
        figures={name: Spread.over([getattr(one, name) for one in of_seeds]) for name in SCORES},
        intervals={
            name: actor_interval(
                confusions, statistic, resamples=settings.bootstrap_resamples, seed=settings.bootstrap_seed
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
    counts = confusion_matrix(predictions.truth, predictions.predicted, len(class_names))
    return Metrics.from_confusion(counts, class_names)


def as_plain(summary: Summary) -> dict[str, Any]:
    """Return the content of results.json: plain values that follow from the predictions and settings alone."""
    settings = summary.settings
    return {
        "protocol": summary.protocol,
        "keeps_last": summary.keeps_last,
        "command": summary.command,
        "folds": list(settings.fold_names),
        "seeds": list(settings.seeds),
        "class_names": list(summary.class_names),
        "bootstrap": {"over": "actors", "resamples": settings.bootstrap_resamples, "seed": settings.bootstrap_seed},
        "target_selective_accuracy": settings.selective_accuracy,
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
                "threshold": model.threshold,
                **{
                    part: {"n_recordings": len(model.parts[part].truth), **vars(of_part)}
                    for part, of_part in figures.items()
                },
            }
            for model, figures in zip(summary.models, summary.figures, strict=True)
        ],
    }


def seed_name(seed: int | None) -> str:
    """Return what a model is called in every table: its seed, or "ensemble"."""
    return "ensemble" if seed is None else str(seed)


def _plain_spreads(spreads: Mapping[str, Spread]) -> dict[str, dict[str, float | None]]:
    return {name: dict(vars(spread)) for name, spread in spreads.items()}


def _plain_pooled(pooled: Pooled) -> dict[str, Any]:
    return {
        **_plain_spreads(pooled.figures),
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
