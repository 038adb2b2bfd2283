"""The files of an evaluation: text for people, JSON and CSV for machines, a figure of the confusion matrix."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from ser.corpora.ravdess import CHANNELS
from ser.data.files import write_text_atomically
from ser.evaluation.metrics import Metrics, expected_calibration_error
from ser.evaluation.tables import percent, table

_HEADLINES = {"accuracy": "accuracy", "uar": "UAR", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}


@dataclass(frozen=True, kw_only=True)
class ScoredRecording:
    """One recording and the prediction of it.

    Attributes
    ----------
    file : its name, unique in an evaluation.
    actor : the RAVDESS actor, 1 to 24.
    channel : "speech" or "song".
    true : the name of its class.
    probabilities : [classes], in the order of the evaluation's `class_names`.
    """

    file: str
    actor: int
    channel: str
    true: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A scored set of recordings.

    Attributes
    ----------
    class_names : in the model's order, which every table and figure keeps.
    recordings : at least one.
    protocol : one sentence on what was scored and how the model was chosen; no metric means anything without it.

    Raises
    ------
    ValueError : no recordings, a file twice, an unknown channel or true class, or probabilities that do not sum to 1
        or are not one a class; it names the file.
    """

    class_names: tuple[str, ...]
    recordings: tuple[ScoredRecording, ...]
    protocol: str

    def __post_init__(self) -> None:
        if not self.recordings:
            raise ValueError("there is no recording to evaluate.")
        seen = set()
        for recording in self.recordings:
            if recording.file in seen:
                raise ValueError(f"{recording.file} is scored twice.")
            seen.add(recording.file)
            if recording.channel not in CHANNELS:
                raise ValueError(f"{recording.file} is of channel {recording.channel!r}, not {' or '.join(CHANNELS)}.")
            if recording.true not in self.class_names:
                raise ValueError(f"{recording.file} is {recording.true!r}, not one of {', '.join(self.class_names)}.")
            if len(recording.probabilities) != len(self.class_names):
                raise ValueError(
                    f"{recording.file} has {len(recording.probabilities)} probabilities"
                    f" for {len(self.class_names)} classes."
                )
            total = sum(recording.probabilities)
            if not (min(recording.probabilities) >= 0 and abs(total - 1) < 0.01):
                raise ValueError(f"{recording.file} has probabilities that do not sum to 1: {recording.probabilities}.")

    @cached_property
    def overall(self) -> Metrics:
        """The metrics of all recordings."""
        return self._metrics(self.recordings)

    @cached_property
    def by_channel(self) -> dict[str, Metrics]:
        """The metrics of each vocal channel that occurs, speech first."""
        recordings = {
            channel: [recording for recording in self.recordings if recording.channel == channel]
            for channel in CHANNELS
        }
        return {channel: self._metrics(members) for channel, members in recordings.items() if members}

    @cached_property
    def calibration_error(self) -> float:
        """The expected calibration error of all recordings, in [0, 1], from 15 bins."""
        return expected_calibration_error(
            [recording.probabilities for recording in self.recordings],
            [self.class_names.index(recording.true) for recording in self.recordings],
        )

    def predicted(self, recording: ScoredRecording) -> str:
        """Return the class that the model finds most probable; the first of equals."""
        return self.class_names[int(np.argmax(recording.probabilities))]

    def as_plain(self) -> dict[str, Any]:
        """Return the content of metrics.json. All metrics are fractions in [0, 1].

        - protocol: what was scored.
        - n_recordings: how many.
        - class_names: the order of the confusion matrix.
        - overall: accuracy, uar (mean recall over the classes that occur), weighted_f1, macro_f1.
        - expected_calibration_error: mean gap between confidence and accuracy, 15 bins.
        - per_class: class name to recall, precision, f1 (null where undefined) and support.
        - by_channel: "speech" and "song", as far as they occur, to n_recordings and the keys of overall.
        - confusion_matrix: counts, rows true, columns predicted.
        """
        overall = self.overall.as_plain()
        return {
            "protocol": self.protocol,
            "n_recordings": self.overall.n_recordings,
            "class_names": list(self.class_names),
            "overall": self.overall.headline(),
            "expected_calibration_error": self.calibration_error,
            "per_class": overall["per_class"],
            "by_channel": {
                channel: {"n_recordings": metrics.n_recordings, **metrics.headline()}
                for channel, metrics in self.by_channel.items()
            },
            "confusion_matrix": overall["confusion_matrix"],
        }

    def _metrics(self, recordings: Sequence[ScoredRecording]) -> Metrics:
        truth = [self.class_names.index(recording.true) for recording in recordings]
        predicted = [self.class_names.index(self.predicted(recording)) for recording in recordings]
        return Metrics.from_confusion(
            confusion_matrix(truth, predicted, labels=range(len(self.class_names))), self.class_names
        )


def write_evaluation(evaluation: Evaluation, folder: Path, *, prefix: str) -> list[Path]:
    """Write the report of an evaluation into `folder` (created if need be) and return the paths of its files.

    They are `<prefix>_metrics.txt`, `<prefix>_confusion_matrix.txt`, `<prefix>_confusion_matrix.png`, `metrics.json`
    (see `Evaluation.as_plain`) and `predictions.csv` (see `format_predictions`). Each is written whole or not at all.

    Parameters
    ----------
    prefix : the part of the data that was scored, "val" or "test".

    Raises
    ------
    OSError : a file cannot be written; it names the folder or the file.
    """
    from ser.evaluation.figures import (  # here, so that printing metrics does not load matplotlib
        confusion_figure,
        save_figure,
    )

    texts = {
        f"{prefix}_metrics.txt": format_metrics(evaluation),
        f"{prefix}_confusion_matrix.txt": format_confusion_matrix(evaluation),
        "metrics.json": json.dumps(evaluation.as_plain(), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "predictions.csv": format_predictions(evaluation),
    }
    for name, text in texts.items():
        write_text_atomically(folder / name, text)
    overall = evaluation.overall
    title = f"{evaluation.protocol}\naccuracy {overall.accuracy:.2%}, UAR {overall.uar:.2%}"
    picture = folder / f"{prefix}_confusion_matrix.png"
    save_figure(confusion_figure(overall.confusion, evaluation.class_names, title=title), picture)
    return [*(folder / name for name in texts), picture]


def format_metrics(evaluation: Evaluation) -> str:
    """Return the metrics as text for people, in percent: the protocol, all recordings, classes, channels."""
    overall = evaluation.overall
    summary = [
        ["recordings", str(overall.n_recordings)],
        *([_HEADLINES[name], percent(value)] for name, value in overall.headline().items()),
        ["calibration error", percent(evaluation.calibration_error)],
    ]
    classes = [
        ["class", "recall", "precision", "F1", "support"],
        *(
            [
                of_class.name,
                percent(of_class.recall),
                percent(of_class.precision),
                percent(of_class.f1),
                str(of_class.support),
            ]
            for of_class in overall.per_class
        ),
    ]
    blocks = [f"{evaluation.protocol}\n", _plain_table(summary), _plain_table(classes)]
    if len(evaluation.by_channel) > 1:
        channels = [
            ["channel", *_HEADLINES.values(), "recordings"],
            *(
                [channel, *map(percent, metrics.headline().values()), str(metrics.n_recordings)]
                for channel, metrics in evaluation.by_channel.items()
            ),
        ]
        blocks.append(_plain_table(channels))
    blocks.append(
        "Some papers call the recall of a class its accuracy; UAR is the mean recall of the classes that occur.\n"
        "A dash stands for an undefined value.\n"
    )
    return "\n".join(blocks)


def format_confusion_matrix(evaluation: Evaluation) -> str:
    """Return the confusion matrix as an aligned table of counts under the protocol."""
    rows = [
        ["true \\ predicted", *evaluation.class_names],
        *(
            [name, *map(str, counts)]
            for name, counts in zip(evaluation.class_names, evaluation.overall.confusion, strict=True)
        ),
    ]
    return f"{evaluation.protocol}\n\n{_plain_table(rows)}"


def format_predictions(evaluation: Evaluation) -> str:
    """Return CSV, a row a recording, sorted by file.

    The columns are file, actor, channel, true, predicted, confidence (the largest probability) and `p_<class>` for
    each class. Probabilities have 9 significant digits, enough to give back every float32.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "file",
            "actor",
            "channel",
            "true",
            "predicted",
            "confidence",
            *(f"p_{name}" for name in evaluation.class_names),
        ]
    )
    for recording in sorted(evaluation.recordings, key=lambda recording: recording.file):
        numbers = [f"{number:.9g}" for number in (max(recording.probabilities), *recording.probabilities)]
        predicted = evaluation.predicted(recording)
        writer.writerow([recording.file, recording.actor, recording.channel, recording.true, predicted, *numbers])
    return text.getvalue()


def _plain_table(rows: Sequence[Sequence[str]]) -> str:
    return table(rows, markdown=False) + "\n"


def failure_table(failures: Mapping[Path, str]) -> str:
    """Return the recordings that could not be read as CSV text with the columns file and reason."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("file", "reason"), *failures.items()])
    return text.getvalue()
