"""Change the recordings of a finished cross-validation, let each run judge them again, and pool what they say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ser.corpora.manifest import Recording
from ser.corpora.progress import track
from ser.data.workers import map_in_workers
from ser.errors import SettingsError
from ser.evaluation.cross_validation.predictions import Predictions
from ser.evaluation.intervals import actor_interval, confusions_by_actor, paired_interval, unweighted_average_recall
from ser.evaluation.robustness.sound_changes import CHANGES, TELEPHONE_HZ, load_changed_features
from ser.inference.predictor import Predictor
from ser.training.cross_validation.again import (
    check_same_answers,
    check_scored,
    corpus_of,
    find_scored,
    predictions_of_fold,
)
from ser.training.cross_validation.plan import FoldRun, finished_runs
from ser.training.cross_validation.settings import CrossValidationSettings, Part, describe_protocol

UNCHANGED = "unchanged"

_AT_ONCE = 8
_CHOICE_SEED = 0


@dataclass(frozen=True, kw_only=True)
class ChangeScores:
    """The UAR under one change, of all folds' recordings together and averaged over seeds; shares in [0, 1].

    Attributes
    ----------
    uar_by_seed : seed -> UAR.
    interval : 95% interval of `uar`, from a bootstrap over actors.
    loss : how much lower the UAR is than unchanged.
    loss_interval : of `loss`, both sides resampled alike.
    """

    label: str
    uar: float
    uar_by_seed: Mapping[int, float]
    interval: tuple[float, float]
    loss: float
    loss_interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """What a cross-validated recipe loses.

    Attributes
    ----------
    protocol : of the cross-validation.
    n_recordings : that were changed, each judged by a run of every seed.
    of_recordings : that the part has.
    figures : "unchanged" and the name of each change -> its figures.
    """

    protocol: str
    part: Part
    settings: CrossValidationSettings
    n_recordings: int
    of_recordings: int
    figures: Mapping[str, ChangeScores]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    """The recordings of one fold: truth int64 [n], actors [n], predicted int64 [seeds, 1 + changes, n]."""

    truth: NDArray[np.int64]
    actors: tuple[int, ...]
    predicted: NDArray[np.int64]


def measure(folder: Path, *, part: Part = "validation", count: int | None = None, workers: int = 0) -> Robustness:
    """Change the recordings of `part` of a finished cross-validation and score its runs on them.

    Parameters
    ----------
    count : of recordings a fold, drawn by chance, the same for all seeds; None takes all.
    workers : processes; 0 takes all cores.

    Raises
    ------
    CheckpointError : there is no finished cross-validation in `folder`, or a run judges unchanged recordings otherwise
        than it did.
    CorpusError : recordings are missing, or the runs of a fold scored different ones.
    AudioError : a recording can no longer be read.
    SettingsError : `part` was not scored, or the sample rate is too low for a telephone.
    """
    settings, runs = finished_runs(folder)
    first = runs[0]
    check_scored(runs, part, folder)
    rate = first.settings.features.sample_rate
    if rate <= 2 * TELEPHONE_HZ[1]:
        raise SettingsError(f"features.sample_rate is {rate}, but a telephone band needs {2 * TELEPHONE_HZ[1]:.0f}.")
    root, recordings = corpus_of(runs)
    judged, of_recordings = [], 0
    for fold in settings.fold_names:
        of_fold = [run for run in runs if run.fold == fold]
        said = predictions_of_fold(of_fold, settings, part)
        of_recordings += len(said[0].names)
        said = _drawn(said, count)
        judged.append(_predict_batch(of_fold, said, find_scored(said[0], recordings, root), workers=workers))
    return Robustness(
        protocol=describe_protocol(settings, first.settings, scored=first.parts),
        part=part,
        settings=settings,
        n_recordings=sum(len(fold.truth) for fold in judged),
        of_recordings=of_recordings,
        figures=_figures(judged, settings, n_classes=len(first.settings.data.classes)),
    )


def _drawn(said: Sequence[Predictions], count: int | None) -> list[Predictions]:
    n = len(said[0].names)
    if count is None or count >= n:
        return list(said)
    chosen = np.zeros(n, dtype=bool)
    chosen[np.random.default_rng(_CHOICE_SEED).permutation(n)[:count]] = True
    return [one.where(chosen) for one in said]


def _predict_batch(
    runs: Sequence[FoldRun], said: Sequence[Predictions], recordings: Sequence[Recording], *, workers: int
) -> _Judged:
    """Let the runs of one fold, one a seed, judge its recordings under every change."""
    predictors = [Predictor.load(run.folder) for run in runs]
    heard = track(
        map_in_workers(
            partial(load_changed_features, settings=predictors[0].metadata.features), recordings, workers=workers
        ),
        total=len(recordings),
        description=runs[0].fold,
        unit="recordings",
    )
    n_sounds = 1 + len(CHANGES)
    answers: list[list[NDArray[np.float32]]] = [[] for _ in runs]
    waiting: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
    with threadpool_limits(1):  # the workers have the cores
        for place, sounds in enumerate(heard, start=1):
            waiting.append(sounds)
            if len(waiting) == _AT_ONCE or place == len(recordings):
                features, lengths = map(np.concatenate, zip(*waiting, strict=True))
                for predictor, of_run in zip(predictors, answers, strict=True):
                    of_run.append(predictor.score(features, lengths))
                waiting.clear()
    predicted = []
    for run, one, of_run in zip(runs, said, answers, strict=True):
        probabilities = np.concatenate(of_run).reshape(len(recordings), n_sounds, -1)
        check_same_answers(probabilities[:, 0], one, run)
        predicted.append(probabilities.argmax(axis=2).T)
    return _Judged(
        truth=said[0].truth, actors=tuple(name.actor for name in said[0].names), predicted=np.array(predicted)
    )


def _figures(
    judged: Sequence[_Judged], settings: CrossValidationSettings, *, n_classes: int
) -> dict[str, ChangeScores]:
    truth = np.concatenate([fold.truth for fold in judged])
    actors = [actor for fold in judged for actor in fold.actors]
    predicted = np.concatenate([fold.predicted for fold in judged], axis=2)  # [seeds, 1 + changes, n]
    labels = {UNCHANGED: "as it is"} | {by.name: by.label for by in CHANGES}
    resampling = {"resamples": settings.bootstrap_resamples, "seed": settings.bootstrap_seed}
    figures: dict[str, ChangeScores] = {}
    unchanged: NDArray[np.int64] | None = None
    for place, (name, label) in enumerate(labels.items()):
        confusions = np.array(
            [list(confusions_by_actor(truth, one[place], actors, n_classes).values()) for one in predicted]
        )
        unchanged = confusions if unchanged is None else unchanged
        uars = unweighted_average_recall(confusions.sum(axis=1))
        figures[name] = ChangeScores(
            label=label,
            uar=float(uars.mean()),
            uar_by_seed=dict(zip(settings.seeds, uars.tolist(), strict=True)),
            interval=actor_interval(confusions, unweighted_average_recall, **resampling),
            loss=float((unweighted_average_recall(unchanged.sum(axis=1)) - uars).mean()),
            loss_interval=paired_interval(unchanged, confusions, unweighted_average_recall, **resampling),
        )
    return figures
