"""Change the recordings of a finished cross-validation, predict them again with each run, and pool the predictions."""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ser.corpora.manifest import Recording
from ser.corpora.progress import track
from ser.data.workers import map_in_workers
from ser.errors import CheckpointError, CorpusError, SettingsError
from ser.evaluation.cross_validation.record import CrossValidation, FoldRun, Part, read_cross_validation
from ser.evaluation.intervals import confusions_by_speaker, speaker_interval, unweighted_average_recall
from ser.evaluation.predictions import (
    class_names_of,
    class_numbers,
    probabilities_of,
    read_predictions,
    resampled_units,
    with_classes,
)
from ser.evaluation.recordings import recordings_of_run
from ser.evaluation.robustness.sound_changes import CHANGES, TELEPHONE_HZ, load_changed_features
from ser.inference.checkpoint import Networks
from ser.inference.predictor import Predictor
from ser.models.metadata import FeatureGroups

UNCHANGED = "unchanged"
TOLERANCE = 1e-4
"""In probability, between a run's own predictions and those of the same recordings now: rounding stays below it."""

_AT_ONCE = 8


def measure(
    folder: Path,
    *,
    part: Part = "validation",
    count: int | None = None,
    workers: int = 0,
    networks: Networks | None = None,
    feature_groups: FeatureGroups | None = None,
) -> dict[str, Any]:
    """Change the recordings of `part` of a finished cross-validation and score its runs on them.

    Parameters
    ----------
    count : of recordings for each fold, drawn by chance, the same for all seeds; None takes all.
    workers : processes; 0 takes all cores.
    networks, feature_groups : those of one's own that the runs were trained with, by name.

    Returns
    -------
    The content of robustness.json, plain values. Scores are fractions in [0, 1], of all folds' recordings together and
    averaged over seeds; intervals are of 95%, from a bootstrap over speakers.

    - protocol, folds, seeds, bootstrap: of the cross-validation; part: as given.
    - n_recordings: that were changed, each predicted by a run of every seed; of_recordings: that the part has.
    - changes: "unchanged" and the name of each change -> label, uar, uar_by_seed (seed -> UAR), uar_interval_95, loss
      (how much lower the UAR is than unchanged) and loss_interval_95 (both sides resampled alike).
    - by_corpus: the name of each corpus -> the same of its recordings, n_recordings among them; {} of one corpus.

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
        known = " and ".join(cross_validation.parts)
        raise SettingsError(f"part is {part!r}, but the runs of {folder} have scored {known} only.")
    load = partial(Predictor.load, networks=networks, feature_groups=feature_groups)
    metadata = load(cross_validation.runs[0].folder).metadata
    rate = metadata.features.sample_rate
    if rate <= 2 * TELEPHONE_HZ[1]:
        raise SettingsError(f"features.sample_rate is {rate}, but a telephone band needs {2 * TELEPHONE_HZ[1]:.0f}.")
    found, root = recordings_of_run(metadata)
    recordings = {recording.id: recording for recording in found}
    scored: list[pd.DataFrame] = []
    predicted: list[NDArray[np.int64]] = []
    of_recordings = 0
    for fold in cross_validation.folds:
        runs = [run for run in cross_validation.runs if run.fold == fold]
        before = [read_predictions(run.predictions(part), cross_validation.class_names) for run in runs]
        if any(list(one["file"]) != list(before[0]["file"]) for one in before):
            raise CorpusError(f"The runs of {fold} scored different {part} recordings.")
        n = len(before[0])
        of_recordings += n
        chosen = np.isin(np.arange(n), np.random.default_rng(0).permutation(n)[:count])  # [:None] is all of them
        before = [one[chosen] for one in before]
        stems = list(before[0]["file"])
        if missing := [stem for stem in stems if stem not in recordings]:
            raise CorpusError(f"{root} lacks {len(missing)} recordings that the runs scored, such as {missing[0]}.")
        scored.append(with_classes(before[0], cross_validation.class_names))
        # The model of a fold may lack classes: its numbers become those of all.
        numbers = np.array([cross_validation.class_names.index(name) for name in class_names_of(before[0])])
        predictors = [load(run.folder) for run in runs]
        changed = [recordings[stem] for stem in stems]
        predicted.append(numbers[_predict_fold(runs, predictors, before, changed, workers=workers)])
    everything = pd.concat(scored)
    return {
        "protocol": cross_validation.protocol,
        "part": part,
        "folds": list(cross_validation.folds),
        "seeds": list(cross_validation.seeds),
        "n_recordings": len(everything),
        "of_recordings": of_recordings,
        "bootstrap": cross_validation.bootstrap(),
        **scores_of_changes(everything, np.concatenate(predicted, axis=2), cross_validation),
    }


def _predict_fold(
    runs: Sequence[FoldRun],
    predictors: Sequence[Predictor],
    before: Sequence[pd.DataFrame],
    recordings: Sequence[Recording],
    *,
    workers: int,
) -> NDArray[np.int64]:
    """Return the classes that the runs of one fold predict under every change, int64 [seeds, 1 + changes, n]."""
    change = partial(load_changed_features, settings=predictors[0].metadata.features)
    changed = track(
        map_in_workers(change, recordings, workers=workers),
        total=len(recordings),
        description=runs[0].fold,
        unit="recordings",
    )
    scored: list[list[NDArray[np.float32]]] = [[] for _ in runs]
    with threadpool_limits(1):  # the workers have the cores
        while sounds := list(islice(changed, _AT_ONCE)):
            features, lengths = map(np.concatenate, zip(*sounds, strict=True))
            for predictor, of_run in zip(predictors, scored, strict=True):
                of_run.append(predictor.score(features, lengths))
    predicted = []
    for run, one, of_run in zip(runs, before, scored, strict=True):
        probabilities = np.concatenate(of_run).reshape(len(recordings), 1 + len(CHANGES), -1)
        _check_same_predictions(probabilities[:, 0], one, run)
        predicted.append(probabilities.argmax(axis=2).T)
    return np.array(predicted)


def _check_same_predictions(probabilities: NDArray[np.float32], before: pd.DataFrame, run: FoldRun) -> None:
    """Raise CheckpointError unless a run predicts unchanged recordings, float32 [n, classes], as it did before."""
    differences = np.abs(probabilities - probabilities_of(before)).max(axis=1)
    worst = int(differences.argmax())
    if not differences[worst] <= TOLERANCE:
        raise CheckpointError(
            f"{run.folder} predicts {before['file'].iloc[worst]} differently from its predictions.csv, by "
            f"{differences[worst]:.1e} in probability: the corpus, the checkpoint or the code have changed since; "
            "train it again."
        )


def scores_of_changes(
    scored: pd.DataFrame, predicted: NDArray[np.int64], cross_validation: CrossValidation
) -> dict[str, Any]:
    """Return the entries "changes" and "by_corpus" from the recordings of all folds.

    Parameters
    ----------
    scored : the recordings' prediction tables, one below another.
    predicted : int64 [seeds, 1 + changes, n], the numbers of the predicted classes, unchanged first.
    """
    corpora = scored["corpus"].to_numpy()
    of_corpus = {name: corpora == name for name in sorted(set(corpora))} if len(set(corpora)) > 1 else {}
    return {
        "changes": _scores(scored, predicted, cross_validation),
        "by_corpus": {
            name: {
                "n_recordings": int(chosen.sum()),
                "changes": _scores(scored[chosen], predicted[:, :, chosen], cross_validation),
            }
            for name, chosen in of_corpus.items()
        },
    }


def _scores(
    scored: pd.DataFrame, predicted: NDArray[np.int64], cross_validation: CrossValidation
) -> dict[str, dict[str, Any]]:
    truth, n_classes = class_numbers(scored), len(cross_validation.class_names)
    confusions = np.array(
        [
            [list(confusions_by_speaker(truth, one, resampled_units(scored), n_classes).values()) for one in by_seed]
            for by_seed in predicted.swapaxes(0, 1)
        ]
    )  # [1 + changes, seeds, speakers, classes, classes]
    uars = unweighted_average_recall(confusions.sum(axis=2))  # [1 + changes, seeds]
    interval = partial(
        speaker_interval,
        statistic=unweighted_average_recall,
        resamples=cross_validation.bootstrap_resamples,
        seed=cross_validation.bootstrap_seed,
    )
    labels = {UNCHANGED: UNCHANGED} | {name: label for name, (label, _) in CHANGES.items()}
    return {
        name: {
            "label": label,
            "uar": float(uar.mean()),
            "uar_by_seed": dict(zip(map(str, cross_validation.seeds), uar.tolist(), strict=True)),
            "uar_interval_95": list(interval(counts)),
            "loss": float((uars[0] - uar).mean()),
            "loss_interval_95": list(interval(confusions[0], reference=counts)),
        }
        for (name, label), counts, uar in zip(labels.items(), confusions, uars, strict=True)
    }
