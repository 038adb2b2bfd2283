"""The files of an evaluation: text for people, JSON and CSV for machines, a figure of the confusion matrix."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from ser.corpora.manifest import CHANNELS, Recording
from ser.data.files import write_text_atomically
from ser.evaluation.metrics import HEADLINES, classification_metrics, expected_calibration_error, group_metrics
from ser.evaluation.predictions import class_numbers, format_predictions, prediction_table
from ser.evaluation.tables import class_rows, confusion_rows, percent, table


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
        - overall: accuracy, uar (mean recall over the classes that occur), weighted_f1, macro_f1.
        - expected_calibration_error: mean gap between confidence and accuracy, 15 bins.
        - per_class: class name to recall, precision, f1 (null where undefined) and support.
        - by_channel: "speech" and "song", as far as they occur, to n_recordings and the keys of overall.
        - confusion_matrix: counts, rows true, columns predicted.
    """

    predictions: pd.DataFrame
    results: dict[str, Any]


def score_predictions(
    recordings: Sequence[Recording], probabilities: ArrayLike, class_names: Sequence[str], *, protocol: str
) -> Evaluation:
    """Return the evaluation of the predictions of recordings; parameters and errors are as in `prediction_table`."""
    predictions = prediction_table(recordings, probabilities, class_names)
    metrics = classification_metrics(predictions)
    results = {
        "protocol": protocol,
        "n_recordings": metrics["n_recordings"],
        "class_names": list(class_names),
        "overall": {name: metrics[name] for name in HEADLINES},
        "expected_calibration_error": expected_calibration_error(probabilities, class_numbers(predictions)),
        "per_class": metrics["per_class"],
        "by_channel": group_metrics(predictions, predictions["channel"], CHANNELS),
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
    """Return the content of metrics.json for people, in percent: the protocol, all recordings, classes, channels."""
    summary = [
        ["recordings", str(results["n_recordings"])],
        *([label, percent(results["overall"][name])] for name, label in HEADLINES.items()),
        ["calibration error", percent(results["expected_calibration_error"])],
    ]
    tables = [summary, class_rows(results["per_class"])]
    if len(results["by_channel"]) > 1:
        channels = [["channel", *HEADLINES.values(), "recordings"]]
        for channel, metrics in results["by_channel"].items():
            channels.append([channel, *(percent(metrics[key]) for key in HEADLINES), str(metrics["n_recordings"])])
        tables.append(channels)
    notes = (
        "Some papers call the recall of a class its accuracy; UAR is the mean recall of the classes that occur.\n"
        "A dash stands for an undefined value.\n"
    )
    return "\n\n".join([results["protocol"], *(table(rows, markdown=False) for rows in tables), notes])


def format_confusion_matrix(results: Mapping[str, Any]) -> str:
    """Return the confusion matrix of metrics.json as an aligned table of counts under the protocol."""
    rows = confusion_rows(results["confusion_matrix"], results["class_names"])
    return f"{results['protocol']}\n\n{table(rows, markdown=False)}\n"


def failure_table(failures: Mapping[Path, str]) -> str:
    """Return the recordings that could not be read as CSV text with the columns file and reason."""
    return str(pd.DataFrame(failures.items(), columns=["file", "reason"]).to_csv(index=False, lineterminator="\n"))
