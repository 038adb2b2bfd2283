"""Change the recordings of a finished cross-validation, predict them again with each run, and pool the predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ser.corpora.manifest import Recording, find_recordings
from ser.corpora.progress import track
from ser.data.workers import map_in_workers
from ser.errors import CheckpointError, CorpusError, SettingsError
from ser.evaluation.cross_validation.predictions import Predictions, read_predictions
from ser.evaluation.cross_validation.record import CrossValidation, FoldRun, Part, read_cross_validation
from ser.evaluation.evaluate import corpus_of
from ser.evaluation.intervals import actor_interval, confusions_by_actor, paired_interval, unweighted_average_recall
from ser.evaluation.robustness.sound_changes import CHANGES, TELEPHONE_HZ, load_changed_features
from ser.inference.predictor import Predictor

UNCHANGED = "unchanged"

_AT_ONCE = 8
_CHOICE_SEED = 0


TOLERANCE = 1e-4
"""In probability, between a run's own predictions and those of the same recordings now: rounding stays below it."""


@dataclass(frozen=True, kw_only=True)
class ChangeScores:
    """The UAR under one change, of all folds' recordings together and averaged over seeds; fractions in [0, 1].

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
    n_recordings : that were changed, each predicted by a run of every seed.
    of_recordings : that the part has.
    scores : "unchanged" and the name of each change -> its scores.
    """

    cross_validation: CrossValidation
    part: Part
    n_recordings: int
    of_recordings: int
    scores: Mapping[str, ChangeScores]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fold:
    """The recordings of one fold: truth int64 [n], actors [n], predicted int64 [seeds, 1 + changes, n]."""

    truth: NDArray[np.int64]
    actors: tuple[int, ...]
    predicted: NDArray[np.int64]


def measure(folder: Path, *, part: Part = "validation", count: int | None = None, workers: int = 0) -> Robustness:
    """Change the recordings of `part` of a finished cross-validation and score its runs on them.

    Parameters
    ----------
    count : of recordings for each fold, drawn by chance, the same for all seeds; None takes all.
    workers : processes; 0 takes all cores.

    Raises
    ------
    CheckpointError : there is no finished cross-validation in `folder`, or a run predicts unchanged recordings
        differently from its predictions.csv.
    CorpusError : recordings are missing, or the runs of a fold scored different ones.
    AudioError : a recording can no longer be read.
    SettingsError : `part` was not scored, or the sample rate is too low for a telephone.
    """
    cross_validation = read_cross_validation(folder)
    if part not in cross_validation.parts:
        scored = " and ".join(cross_validation.parts)
        raise SettingsError(f"part is {part!r}, but the runs of {folder} have scored {scored} only.")
    metadata = Predictor.load(cross_validation.runs[0].folder).metadata
    rate = metadata.features.sample_rate
    if rate <= 2 * TELEPHONE_HZ[1]:
        raise SettingsError(f"features.sample_rate is {rate}, but a telephone band needs {2 * TELEPHONE_HZ[1]:.0f}.")
    root = corpus_of(metadata)
    recordings = {recording.stem: recording for recording in find_recordings(root)}
    folds, of_recordings = [], 0
    for fold in cross_validation.folds:
        runs = [run for run in cross_validation.runs if run.fold == fold]
        before = [read_predictions(run.predictions(part), cross_validation.class_names) for run in runs]
        if any(one.names != before[0].names for one in before):
            raise CorpusError(f"The runs of {fold} scored different {part} recordings.")
        of_recordings += len(before[0].names)
        before = _drawn(before, count)
        stems = [name.stem for name in before[0].names]
        if missing := [stem for stem in stems if stem not in recordings]:
            raise CorpusError(f"{root} lacks {len(missing)} recordings that the runs scored, such as {missing[0]}.")
        folds.append(_predict_fold(runs, before, [recordings[stem] for stem in stems], workers=workers))
    return Robustness(
        cross_validation=cross_validation,
        part=part,
        n_recordings=sum(len(fold.truth) for fold in folds),
        of_recordings=of_recordings,
        scores=_scores(folds, cross_validation),
    )


def _drawn(before: Sequence[Predictions], count: int | None) -> list[Predictions]:
    n = len(before[0].names)
    if count is None or count >= n:
        return list(before)
    chosen = np.zeros(n, dtype=bool)
    chosen[np.random.default_rng(_CHOICE_SEED).permutation(n)[:count]] = True
    return [one.where(chosen) for one in before]


def _predict_fold(
    runs: Sequence[FoldRun], before: Sequence[Predictions], recordings: Sequence[Recording], *, workers: int
) -> _Fold:
    """Predict the recordings of one fold under every change by its runs, one for each seed."""
    predictors = [Predictor.load(run.folder) for run in runs]
    changed = track(
        map_in_workers(
            partial(load_changed_features, settings=predictors[0].metadata.features), recordings, workers=workers
        ),
        total=len(recordings),
        description=runs[0].fold,
        unit="recordings",
    )
    n_sounds = 1 + len(CHANGES)
    scored: list[list[NDArray[np.float32]]] = [[] for _ in runs]
    waiting: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
    with threadpool_limits(1):  # the workers have the cores
        for place, sounds in enumerate(changed, start=1):
            waiting.append(sounds)
            if len(waiting) == _AT_ONCE or place == len(recordings):
                features, lengths = map(np.concatenate, zip(*waiting, strict=True))
                for predictor, of_run in zip(predictors, scored, strict=True):
                    of_run.append(predictor.score(features, lengths))
                waiting.clear()
    predicted = []
    for run, one, of_run in zip(runs, before, scored, strict=True):
        probabilities = np.concatenate(of_run).reshape(len(recordings), n_sounds, -1)
        _check_same_predictions(probabilities[:, 0], one, run)
        predicted.append(probabilities.argmax(axis=2).T)
    return _Fold(
        truth=before[0].truth, actors=tuple(name.actor for name in before[0].names), predicted=np.array(predicted)
    )


def _check_same_predictions(probabilities: NDArray[np.float32], before: Predictions, run: FoldRun) -> None:
    """Raise CheckpointError unless a run predicts unchanged recordings, float32 [n, classes], as it did before."""
    differences = np.abs(probabilities - before.probabilities).max(axis=1)
    worst = int(differences.argmax())
    if not differences[worst] <= TOLERANCE:
        raise CheckpointError(
            f"{run.folder} predicts {before.names[worst].stem} differently from its predictions.csv, by "
            f"{differences[worst]:.1e} in probability: the corpus, the checkpoint or the code have changed since; "
            "train it again."
        )


def _scores(folds: Sequence[_Fold], cross_validation: CrossValidation) -> dict[str, ChangeScores]:
    n_classes = len(cross_validation.class_names)
    truth = np.concatenate([fold.truth for fold in folds])
    actors = [actor for fold in folds for actor in fold.actors]
    predicted = np.concatenate([fold.predicted for fold in folds], axis=2)  # [seeds, 1 + changes, n]
    labels = {UNCHANGED: UNCHANGED} | {by.name: by.label for by in CHANGES}
    resampling = {"resamples": cross_validation.bootstrap_resamples, "seed": cross_validation.bootstrap_seed}
    scores: dict[str, ChangeScores] = {}
    unchanged: NDArray[np.int64] | None = None
    for place, (name, label) in enumerate(labels.items()):
        confusions = np.array(
            [list(confusions_by_actor(truth, one[place], actors, n_classes).values()) for one in predicted]
        )
        unchanged = confusions if unchanged is None else unchanged
        uars = unweighted_average_recall(confusions.sum(axis=1))
        scores[name] = ChangeScores(
            label=label,
            uar=float(uars.mean()),
            uar_by_seed=dict(zip(cross_validation.seeds, uars.tolist(), strict=True)),
            interval=actor_interval(confusions, unweighted_average_recall, **resampling),
            loss=float((unweighted_average_recall(unchanged.sum(axis=1)) - uars).mean()),
            loss_interval=paired_interval(unchanged, confusions, unweighted_average_recall, **resampling),
        )
    return scores
