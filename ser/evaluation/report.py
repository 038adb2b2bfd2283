"""The files of an evaluation: text for people, JSON and CSV for machines, a figure of the confusion matrix."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from ser.corpora.manifest import CHANNELS, Recording
from ser.data.files import write_text_atomically
from ser.evaluation.metrics import (
    HEADLINES,
    classification_metrics,
    closed_set_metrics,
    corpus_metrics,
    expected_calibration_error,
    group_metrics,
)
from ser.evaluation.predictions import class_numbers, classes_by_corpus, format_predictions, prediction_table
from ser.evaluation.tables import class_rows, confusion_rows, corpus_rows, percent, table

CLOSED_SET_NOTE = (
    "UAR is open-set: predictions are among all classes of the model. Closed-set: among those that the recording's "
    "corpus has."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """A scored set of recordings.

    Attributes
    ----------
    predictions : a `ser.evaluation.predictions.prediction_table`.
    results : the content of metrics.json. All metrics are fractions in [0, 1].

        - protocol: one sentence on what was scored and how the model was chosen; no metric means anything without it.
        - n_recordings: how many.
        - class_names: in the model's order, which every table and figure keeps.
        - overall: accuracy, uar (mean recall over the classes that occur), weighted_f1, macro_f1; open-set, so a
          prediction is one of all classes of the model.
        - closed_set: accuracy and uar where a prediction is one of the classes that the recording's corpus has; null
          where that is no difference.
        - expected_calibration_error: mean gap between confidence and accuracy, 15 bins.
        - per_class: class name to recall, precision, f1 (null where undefined) and support.
        - by_channel: "speech" and "song", as far as they occur, to n_recordings and the keys of overall.
        - by_corpus: the name of each corpus (empty where it has none) to n_recordings, n_speakers, classes (that it
          has), the keys of overall, closed_set and expected_calibration_error.
        - confusion_matrix: counts, rows true, columns predicted.
    """

    predictions: pd.DataFrame
    results: dict[str, Any]


def score_predictions(
    recordings: Sequence[Recording],
    probabilities: ArrayLike,
    class_names: Sequence[str],
    *,
    protocol: str,
    others: Iterable[Recording] = (),
) -> Evaluation:
    """Return the evaluation of the predictions of recordings; parameters and errors are as in `prediction_table`.

    Parameters
    ----------
    others : further recordings that tell which classes a corpus has: a small part may lack some.
    """
    predictions = prediction_table(recordings, probabilities, class_names)
    metrics = classification_metrics(predictions)
    known = [*recordings, *others]
    classes = classes_by_corpus((one.corpus for one in known), (one.emotion for one in known), class_names)
    results = {
        "protocol": protocol,
        "n_recordings": metrics["n_recordings"],
        "class_names": list(class_names),
        "overall": {name: metrics[name] for name in HEADLINES},
        "closed_set": closed_set_metrics(predictions, classes),
        "expected_calibration_error": expected_calibration_error(probabilities, class_numbers(predictions)),
        "per_class": metrics["per_class"],
        "by_channel": group_metrics(predictions, predictions["channel"], CHANNELS),
        "by_corpus": corpus_metrics(predictions, classes),
        "confusion_matrix": metrics["confusion_matrix"],
    }
    return Evaluation(predictions=predictions, results=results)


def write_evaluation(evaluation: Evaluation, folder: Path, *, prefix: str) -> None:
    """Write the report of an evaluation into `folder` (created if need be).

    Its files are `<prefix>_metrics.txt`, `<prefix>_confusion_matrix.txt`, `<prefix>_confusion_matrix.png`,
    `metrics.json` (the results) and `predictions.csv` (the predictions, sorted by file). Each is written whole or not
    at all.

    Parameters
    ----------
    prefix : the part of the data that was scored, "val" or "test".

    Raises
    ------
    OSError : a file cannot be written; it names the folder or the file.
    """
    from ser.evaluation.figures import confusion_figure, save_figure  # printing metrics does not load matplotlib

    results, overall = evaluation.results, evaluation.results["overall"]
    texts = {
        f"{prefix}_metrics.txt": format_metrics(results),
        f"{prefix}_confusion_matrix.txt": format_confusion_matrix(results),
        "metrics.json": json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "predictions.csv": format_predictions(evaluation.predictions.sort_values("file")),
    }
    for name, text in texts.items():
        write_text_atomically(folder / name, text)
    title = f"{results['protocol']}\naccuracy {overall['accuracy']:.2%}, UAR {overall['uar']:.2%}"
    figure = confusion_figure(results["confusion_matrix"], results["class_names"], title=title)
    save_figure(figure, folder / f"{prefix}_confusion_matrix.png")


def format_metrics(results: Mapping[str, Any]) -> str:
    """Return metrics.json for people, in percent: the protocol, all recordings, classes, channels, corpora."""
    tables = [summary_rows(results), class_rows(results["per_class"])]
    if len(results["by_channel"]) > 1:
        channels = [["channel", *HEADLINES.values(), "recordings"]]
        for channel, metrics in results["by_channel"].items():
            channels.append([channel, *(percent(metrics[key]) for key in HEADLINES), str(metrics["n_recordings"])])
        tables.append(channels)
    if len(results["by_corpus"]) > 1:
        tables.append(corpus_rows(results["by_corpus"]))
    notes = (
        "Some papers call the recall of a class its accuracy; UAR is the mean recall of the classes that occur.\n"
        + (f"{CLOSED_SET_NOTE}\n" if results["closed_set"] else "")
        + "A dash stands for an undefined value.\n"
    )
    return "\n\n".join([results["protocol"], *(table(rows, markdown=False) for rows in tables), notes])


def summary_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """Return the names and the values of the metrics of all recordings in metrics.json."""
    closed = results["closed_set"]
    return [
        ["recordings", str(results["n_recordings"])],
        *([label, percent(results["overall"][name])] for name, label in HEADLINES.items()),
        *([f"closed-set {HEADLINES[name]}", percent(value)] for name, value in (closed or {}).items()),
        ["calibration error", percent(results["expected_calibration_error"])],
    ]


def format_confusion_matrix(results: Mapping[str, Any]) -> str:
    """Return the confusion matrix of metrics.json as an aligned table of counts under the protocol."""
    rows = confusion_rows(results["confusion_matrix"], results["class_names"])
    return f"{results['protocol']}\n\n{table(rows, markdown=False)}\n"


def failure_table(failures: Mapping[Path, str]) -> str:
    """Return the recordings that could not be read as CSV text with the columns file and reason."""
    return str(pd.DataFrame(failures.items(), columns=["file", "reason"]).to_csv(index=False, lineterminator="\n"))
