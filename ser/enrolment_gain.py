"""`python -m ser.enrolment_gain cross_validation=<folder>`: what tuning a model to its speaker gains.

Each run of a finished cross-validation judges the recordings it has scored (`part=validation`, or `part=test`) once
more, tuned to each actor by the neutral recordings of the first repetition (`Predictor.enrol`). These are left out on
both sides; the rest is compared. Writes `enrolment.md` and `enrolment.json` into the folder, into `test/` for the test
part.
"""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ser.bootstrap import actor_interval, confusions_by_actor, paired_interval, unweighted_average_recall
from ser.corpus.names import RecordingName
from ser.corpus.recordings import Recording
from ser.cross_validation.again import check_same_answers, check_scored, corpus_of, find_scored, said_of_fold
from ser.cross_validation.plan import finished_runs
from ser.cross_validation.settings import Part, describe_protocol
from ser.errors import SettingsError
from ser.features import FeatureSettings
from ser.files import write_text_atomically
from ser.front_end import hear
from ser.key_value_command import key_value_command
from ser.markdown import interval, percent, table
from ser.progress import track
from ser.workers import map_in_workers

if TYPE_CHECKING:
    from ser.predictor import Predictor

RESULTS_TEXT, RESULTS = "enrolment.md", "enrolment.json"


@dataclass(frozen=True, kw_only=True)
class EnrolmentGainSettings:
    """What the command is told; `workers` processes (0: all cores)."""

    cross_validation: str
    part: Part = "validation"
    workers: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it; return the exit status."""
    return key_value_command(
        _measure_as_told,
        EnrolmentGainSettings,
        module="enrolment_gain",
        description=__doc__,
        keys="cross_validation=<folder>, part=validation|test, workers=<n>",
        arguments=arguments,
        numbers=("workers",),
        log_level=logging.INFO,
    )


def _measure_as_told(settings: EnrolmentGainSettings) -> str:
    folder = Path(settings.cross_validation)
    gain = measure_gain(folder, part=settings.part, workers=settings.workers)
    text = format_gain(gain)
    destination = folder / "test" if settings.part == "test" else folder
    write_text_atomically(destination / RESULTS_TEXT, text)
    write_text_atomically(destination / RESULTS, json.dumps(gain, indent=2, allow_nan=False) + "\n")
    return text


def is_enrolled(name: RecordingName) -> bool:
    """Whether a recording is one that its actor is enrolled with."""
    return name.emotion == "neutral" and name.repetition == 1


def measure_gain(folder: Path, *, part: Part = "validation", workers: int = 0) -> dict[str, Any]:
    """Score the runs of a finished cross-validation without and with enrolment; return what enrolment.json holds.

    Raises
    ------
    CheckpointError : there is no finished cross-validation in `folder`, or a run judges otherwise than it did.
    CorpusError : recordings are missing, or the runs of a fold scored different ones.
    AudioError : a recording can no longer be read.
    SettingsError : `part` was not scored, an actor has no neutral recording, or the model cannot be tuned.
    """
    from ser.predictor import Predictor

    settings, runs = finished_runs(folder)
    check_scored(runs, part, folder)
    root, recordings = corpus_of(runs)
    n_classes = len(runs[0].settings.data.classes)
    truth, actors, plain, tuned = [], [], [], []
    for fold in settings.fold_names:
        of_fold = [run for run in runs if run.fold == fold]
        said = said_of_fold(of_fold, settings, part)
        names = said[0].names
        features = _features(find_scored(said[0], recordings, root), of_fold[0].settings.features, fold, workers)
        kept = np.array([not is_enrolled(name) for name in names])
        truth.append(said[0].truth[kept])
        actors += [name.actor for name in np.array(names, dtype=object)[kept]]
        answers = []
        with threadpool_limits(1):
            for run, one in zip(of_fold, said, strict=True):
                predictor = Predictor.load(run.folder)
                as_it_was = predictor.score(features)
                check_same_answers(as_it_was, one, run)
                answers.append((as_it_was[kept].argmax(axis=1), _tuned(predictor, features, names)[kept]))
        plain.append(np.array([before for before, _ in answers]))
        tuned.append(np.array([after for _, after in answers]))
    sides = [
        np.array(
            [
                list(confusions_by_actor(np.concatenate(truth), of_seed, actors, n_classes).values())
                for of_seed in np.concatenate(side, axis=1)
            ]
        )
        for side in (plain, tuned)
    ]
    return {
        "protocol": describe_protocol(settings, runs[0].settings, scored=runs[0].parts),
        "part": part,
        "seeds": list(settings.seeds),
        "n_recordings": len(actors),
        "n_actors": len(set(actors)),
        **_figures(*sides, resamples=settings.bootstrap_resamples, seed=settings.bootstrap_seed),
    }


def _features(
    recordings: Sequence[Recording], settings: FeatureSettings, fold: str, workers: int
) -> NDArray[np.float32]:
    """Return what a network is given of each recording, float32 [n, features, max_length]."""
    paths = [recording.path for recording in recordings]
    heard = map_in_workers(partial(hear, settings=settings), paths, workers=workers)
    return np.stack([one.features for one in track(heard, total=len(paths), description=fold, unit="recordings")])


def _tuned(predictor: "Predictor", features: NDArray[np.float32], names: Sequence[RecordingName]) -> NDArray[np.int64]:
    """Return the classes that the model finds, tuned to each recording's actor, int64 [n]."""
    found = np.empty(len(names), dtype=np.int64)
    for actor in sorted({name.actor for name in names}):
        own = np.array([name.actor == actor for name in names])
        first = np.array([is_enrolled(name) for name in names]) & own
        if not first.any():
            raise SettingsError(f"Actor {actor} has no neutral recording to enrol with; take folds of speech.")
        found[own] = predictor.tuned_to(features[first]).score(features[own]).argmax(axis=1)
    return found


def _figures(before: NDArray[np.int64], after: NDArray[np.int64], *, resamples: int, seed: int) -> dict[str, Any]:
    """Return the UAR of both sides and what is gained, of confusions int64 [seeds, actors, classes, classes]."""
    means = [float(unweighted_average_recall(side.sum(axis=1)).mean()) for side in (before, after)]
    resampling = {"resamples": resamples, "seed": seed}
    return {
        "uar": means[0],
        "uar_interval_95": list(actor_interval(before, unweighted_average_recall, **resampling)),
        "uar_enrolled": means[1],
        "uar_enrolled_interval_95": list(actor_interval(after, unweighted_average_recall, **resampling)),
        "gain": means[1] - means[0],
        "gain_interval_95": list(paired_interval(after, before, unweighted_average_recall, **resampling)),
    }


def gain_table(gain: Mapping[str, Any]) -> str:
    """Return the table of the content of enrolment.json."""
    rows = [
        ["", "UAR", "95% interval"],
        ["as it is", percent(gain["uar"]), interval(gain["uar_interval_95"])],
        ["enrolled", percent(gain["uar_enrolled"]), interval(gain["uar_enrolled_interval_95"])],
        ["gained", percent(gain["gain"]), interval(gain["gain_interval_95"])],
    ]
    return table(rows)


def format_gain(gain: Mapping[str, Any]) -> str:
    """Return the content of enrolment.json as Markdown."""
    scored = (
        f"{gain['n_recordings']:,} {gain['part']} recordings of {gain['n_actors']} actors, each tuned to by its "
        "neutral recordings of the first repetition, which are not among them. Intervals are from a bootstrap over the "
        "actors, both sides resampled alike."
    )
    return "\n\n".join(["# Enrolment", gain["protocol"], gain_table(gain), scored]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
