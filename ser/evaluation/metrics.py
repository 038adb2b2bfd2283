"""The metrics of predictions, by scikit-learn, and the calibration error with its bins."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from ser.evaluation.predictions import class_names_of, class_numbers, closed_set, probabilities_of

HEADLINES = {"accuracy": "accuracy", "uar": "UAR", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}
"""The metrics that sum up a set of recordings, and their names in tables."""


def classification_metrics(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of a `prediction_table`: fractions in [0, 1], as plain values.

    - accuracy: the fraction of all recordings that were recognised.
    - uar: unweighted average recall, the mean recall over the classes that have recordings
      (`sklearn.metrics.balanced_accuracy_score`). It is open-set, as a prediction is one of all classes of the model.
    - weighted_f1: the mean F1, weighted by support (`sklearn.metrics.f1_score(average="weighted")`).
    - macro_f1: the mean F1 over the classes that occur as truth or as prediction
      (`sklearn.metrics.f1_score(average="macro")` with its default labels).
    - n_recordings: how many.
    - per_class: for each class

      - recall: the fraction of its recordings that were recognised; some papers call it the class's accuracy. None
        where the class has no recording.
      - precision: the fraction of its predictions that were correct. None where the class was never predicted.
      - f1: their harmonic mean. None where the class occurs neither as truth nor as prediction.
      - support: the number of its recordings.
    - confusion_matrix: counts [classes, classes], rows true, columns predicted.

    Raises
    ------
    ValueError : there is no recording.
    """
    if predictions.empty:
        raise ValueError("there is no recording to score.")
    true, predicted, labels = predictions["true"], predictions["predicted"], class_names_of(predictions)
    counts = confusion_matrix(true, predicted, labels=labels)
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=labels, zero_division=np.nan
    )
    of_class = pd.DataFrame({"recall": recall, "precision": precision, "f1": f1, "support": support}, index=labels)
    return {
        "accuracy": float(np.trace(counts) / counts.sum()),
        "uar": float(np.nanmean(recall)),
        "weighted_f1": float(np.nansum(f1 * support) / counts.sum()),
        "macro_f1": float(np.nanmean(f1)),
        "n_recordings": int(counts.sum()),
        "per_class": of_class.astype(object).where(of_class.notna(), None).to_dict("index"),
        "confusion_matrix": counts.tolist(),
    }


def group_metrics(predictions: pd.DataFrame, groups: ArrayLike, members: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return n_recordings and the headlines of each of `members` that occurs in `groups` [n], a name a recording."""
    places = predictions.groupby(np.asarray(groups)).indices  # one pass, however many members there are
    metrics = {name: classification_metrics(predictions.iloc[places[name]]) for name in members if name in places}
    return {name: {key: values[key] for key in ("n_recordings", *HEADLINES)} for name, values in metrics.items()}


def closed_set_metrics(predictions: pd.DataFrame, classes: Mapping[str, Collection[str]]) -> dict[str, float] | None:
    """Return accuracy and UAR of the closed-set predictions, as in `classification_metrics`.

    A closed-set prediction is the most probable of the classes that the recording's own corpus has, so a model that
    knows more is not asked to tell those apart from what never occurs there. Open-set and closed-set UAR are means over
    the same classes. The closed-set accuracy is never the lower one.

    Parameters
    ----------
    classes : corpus -> the classes that it has, as in `ser.evaluation.predictions.classes_by_corpus`.

    Returns
    -------
    None where each corpus has all classes of the model, so that there is no difference.
    """
    n_classes = len(class_names_of(predictions))
    if all(len(classes[corpus]) == n_classes for corpus in set(predictions["corpus"])):
        return None
    metrics = classification_metrics(closed_set(predictions, classes))
    return {name: metrics[name] for name in ("accuracy", "uar")}


def corpus_metrics(predictions: pd.DataFrame, classes: Mapping[str, Collection[str]]) -> dict[str, dict[str, Any]]:
    """Return the metrics of each corpus in a `prediction_table`; parameters as of `closed_set_metrics`.

    Returns
    -------
    Corpus -> n_recordings, n_speakers (of those that are known), classes (that it has), the headlines, closed_set (as
    `closed_set_metrics` returns it) and expected_calibration_error.
    """
    return {
        corpus: {
            "n_speakers": len(set(rows["speaker"]) - {""}),
            "classes": list(classes[corpus]),
            **group_metrics(rows, rows["corpus"], [corpus])[corpus],
            "closed_set": closed_set_metrics(rows, classes),
            "expected_calibration_error": expected_calibration_error(probabilities_of(rows), class_numbers(rows)),
        }
        for corpus, rows in predictions.groupby("corpus")
    }


class ReliabilityBin(TypedDict):
    """The predictions whose confidence lies in (low, high].

    Attributes
    ----------
    n : how many there are.
    confidence : their mean confidence, in [0, 1]; None where there are none.
    accuracy : the fraction of them that is correct; None where there are none.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


def reliability_bins(probabilities: ArrayLike, truth: ArrayLike, bins: int = 15) -> list[ReliabilityBin]:
    """Return predictions grouped by confidence, from low to high: a reliability diagram.

    Parameters
    ----------
    probabilities : float [n, classes], each row in [0, 1] and summing to 1; the largest is the confidence.
    truth : integer [n], values in [0, classes).
    bins : of equal width, at least 1.

    Raises
    ------
    ValueError : no rows, rows that are not distributions, or truth that does not match them.
    """
    return [
        {
            "low": k / bins,
            "high": (k + 1) / bins,
            "n": int(n),
            "confidence": float(confidence / n) if n else None,
            "accuracy": float(correct / n) if n else None,
        }
        for k, (n, confidence, correct) in enumerate(_sums_by_confidence(probabilities, truth, bins).T)
    ]


def expected_calibration_error(probabilities: ArrayLike, truth: ArrayLike, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy (Guo et al. 2017, arXiv:1706.04599, equation 3).

    The gaps of the bins are averaged with their sizes as weights. Parameters and errors are as in `reliability_bins`.

    Returns
    -------
    A fraction in [0, 1]; 0 is perfect.
    """
    counts, confidences, correct = _sums_by_confidence(probabilities, truth, bins)
    return float(np.abs(confidences - correct).sum() / counts.sum())


def _sums_by_confidence(probabilities: ArrayLike, truth: ArrayLike, bins: int) -> NDArray[np.float64]:
    """Return for each bin its number of predictions, their summed confidence, and how many are correct: [3, bins]."""
    table, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if table.ndim != 2 or table.size == 0 or labels.shape != table.shape[:1]:
        raise ValueError(
            f"probabilities have shape {table.shape} and truth {labels.shape}; they should be [n, classes] and [n]."
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= table.shape[1]:
        raise ValueError(f"truth should hold class numbers, integers from 0 to {table.shape[1] - 1}.")
    # The tolerance lets half-precision softmax pass, and catches logits and percentages.
    if not ((table >= 0).all() and (table <= 1.001).all() and (np.abs(table.sum(axis=1) - 1) < 1e-2).all()):
        raise ValueError("each row of probabilities should lie in [0, 1] and sum to 1.")
    if bins < 1:
        raise ValueError(f"bins is {bins}, but should be 1 or more.")
    confidence = table.max(axis=1)
    groups = np.digitize(confidence, np.arange(1, bins) / bins, right=True)
    weights = (np.ones(len(labels)), confidence, table.argmax(axis=1) == labels)
    return np.array([np.bincount(groups, weights=each, minlength=bins) for each in weights])
