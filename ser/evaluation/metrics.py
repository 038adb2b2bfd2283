"""Every figure of merit, each formula once. A confusion matrix is indexed [true, predicted]."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """How one class was recognised. Shares are in [0, 1], or None where their denominator is zero.

    Attributes
    ----------
    name : the class.
    recall : the share of the recordings of the class that were recognised, tp / (tp + fn). Some papers call it the
        class's accuracy. None where the class has no recording.
    precision : the share of the predictions of the class that were right, tp / (tp + fp). None where the class was
        never predicted.
    f1 : 2 tp / (2 tp + fp + fn). None where the class occurs neither as truth nor as prediction.
    support : the number of recordings of the class.
    """

    name: str
    recall: float | None
    precision: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What a confusion matrix says. Shares are in [0, 1].

    Attributes
    ----------
    accuracy : the share of all recordings that were recognised.
    uar : unweighted average recall, the mean recall over the classes that have recordings
        (`sklearn.metrics.balanced_accuracy_score`).
    weighted_f1 : the mean F1, weighted by support (`sklearn.metrics.f1_score(average="weighted")`).
    macro_f1 : the mean F1 over the classes that occur as truth or as prediction
        (`sklearn.metrics.f1_score(average="macro")` with its default labels).
    n_recordings : the sum of the matrix.
    per_class : one entry a class, in the order of the matrix.
    confusion : the matrix itself, rows true, columns predicted.
    """

    accuracy: float
    uar: float
    weighted_f1: float
    macro_f1: float
    n_recordings: int
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]

    @classmethod
    def from_confusion(cls, confusion: ArrayLike, class_names: Sequence[str]) -> "Metrics":
        """Derive all metrics from `confusion` (integer [classes, classes], rows true, columns predicted).

        Raises
        ------
        ValueError : the matrix is not square, not of whole counts, empty, or not of as many classes as there are names.
        """
        counts = np.asarray(confusion)
        if counts.shape != (len(class_names), len(class_names)):
            raise ValueError(
                f"the confusion matrix has shape {counts.shape}, but there are {len(class_names)} classes."
            )
        if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
            raise ValueError("the confusion matrix should hold counts: integers of 0 or more.")
        n_recordings = int(counts.sum())
        if n_recordings == 0:
            raise ValueError("the confusion matrix is empty: there is no recording to score.")

        hits, support, predictions = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
        per_class = tuple(
            ClassMetrics(
                name=name,
                recall=_ratio(hits[k], support[k]),
                precision=_ratio(hits[k], predictions[k]),
                f1=_ratio(2 * hits[k], support[k] + predictions[k]),
                support=int(support[k]),
            )
            for k, name in enumerate(class_names)
        )
        recalls = [of_class.recall for of_class in per_class if of_class.recall is not None]
        f1s = [of_class.f1 for of_class in per_class if of_class.f1 is not None]
        return cls(
            accuracy=int(hits.sum()) / n_recordings,
            uar=sum(recalls) / len(recalls),
            weighted_f1=sum(of_class.support * (of_class.f1 or 0.0) for of_class in per_class) / n_recordings,
            macro_f1=sum(f1s) / len(f1s),
            n_recordings=n_recordings,
            per_class=per_class,
            confusion=tuple(tuple(row) for row in counts.tolist()),
        )

    def headline(self) -> dict[str, float]:
        """Return the four figures that sum up the whole: accuracy, uar, weighted_f1, macro_f1."""
        return {
            "accuracy": self.accuracy,
            "uar": self.uar,
            "weighted_f1": self.weighted_f1,
            "macro_f1": self.macro_f1,
        }

    def as_plain(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON: `per_class` by class name, an undefined share as None."""
        return {
            **self.headline(),
            "n_recordings": self.n_recordings,
            "per_class": {
                of_class.name: {
                    "recall": of_class.recall,
                    "precision": of_class.precision,
                    "f1": of_class.f1,
                    "support": of_class.support,
                }
                for of_class in self.per_class
            },
            "confusion_matrix": [list(row) for row in self.confusion],
        }


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Count pairs of class numbers.

    Parameters
    ----------
    truth, predicted : integer [n], values in [0, n_classes).

    Returns
    -------
    int64 [n_classes, n_classes], rows true, columns predicted.

    Raises
    ------
    ValueError : the two differ in shape, are not one-dimensional, or hold something else than class numbers.
    """
    rows, columns = np.asarray(truth), np.asarray(predicted)
    if rows.shape != columns.shape or rows.ndim != 1:
        raise ValueError(f"truth has shape {rows.shape} and predicted {columns.shape}; both should be [n].")
    for name, values in (("truth", rows), ("predicted", columns)):
        _check_class_numbers(values, n_classes, name=name)
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    if rows.size:
        np.add.at(counts, (rows, columns), 1)
    return counts


def expected_calibration_error(probabilities: ArrayLike, truth: ArrayLike, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy (Guo et al. 2017, arXiv:1706.04599, equation 3).

    The confidence of a prediction is its largest probability; predictions are grouped by confidence into `bins`
    intervals (a, b] of equal width, and the gaps of the groups averaged with their sizes as weights.

    Parameters
    ----------
    probabilities : float [n, classes], each row in [0, 1] and summing to 1.
    truth : integer [n], values in [0, classes).
    bins : at least 1.

    Returns
    -------
    A share in [0, 1]; 0 is perfect.

    Raises
    ------
    ValueError : no rows, rows that are not distributions, or truth that does not match them.
    """
    confidence, right, groups = _by_confidence(probabilities, truth, bins)
    return float(np.abs(np.bincount(groups, weights=confidence - right, minlength=bins)).sum() / len(right))


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """The predictions whose confidence lies in (low, high].

    Attributes
    ----------
    n : how many there are.
    confidence : their mean confidence, in [0, 1]; None where there are none.
    accuracy : the share of them that is right; None where there are none.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


def reliability_bins(probabilities: ArrayLike, truth: ArrayLike, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """Return the groups behind `expected_calibration_error`, from low confidence to high: a reliability diagram.

    Parameters, and what is raised, are the same.
    """
    confidence, right, groups = _by_confidence(probabilities, truth, bins)
    counts, confidences, rights = (
        np.bincount(groups, weights=weights, minlength=bins) for weights in (None, confidence, right)
    )
    return tuple(
        ReliabilityBin(
            low=k / bins,
            high=(k + 1) / bins,
            n=int(counts[k]),
            confidence=float(confidences[k] / counts[k]) if counts[k] else None,
            accuracy=float(rights[k] / counts[k]) if counts[k] else None,
        )
        for k in range(bins)
    )


def _by_confidence(
    probabilities: ArrayLike, truth: ArrayLike, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
    """Return confidence, whether the prediction is right, and the number of its bin, each [n]."""
    table, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if table.ndim != 2 or table.size == 0 or labels.shape != table.shape[:1]:
        raise ValueError(
            f"probabilities have shape {table.shape} and truth {labels.shape}; they should be [n, classes] and [n]."
        )
    _check_class_numbers(labels, table.shape[1], name="truth")
    # The tolerance lets half-precision softmax pass, and catches logits and percentages.
    if not ((table >= 0).all() and (table <= 1.001).all() and (np.abs(table.sum(axis=1) - 1) < 1e-2).all()):
        raise ValueError("each row of probabilities should lie in [0, 1] and sum to 1.")
    if bins < 1:
        raise ValueError(f"bins is {bins}, but should be 1 or more.")
    confidence = table.max(axis=1)
    right = table.argmax(axis=1) == labels
    inner_edges = np.arange(1, bins) / bins
    return confidence, right, np.digitize(confidence, inner_edges, right=True)


def _ratio(part: np.integer, whole: np.integer) -> float | None:
    return int(part) / int(whole) if whole else None


def _check_class_numbers(values: NDArray[Any], n_classes: int, *, name: str) -> None:
    if values.size == 0:
        return  # an empty list has no integer dtype of its own
    if not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or values.max() >= n_classes:
        raise ValueError(f"{name} should hold class numbers, integers from 0 to {n_classes - 1}.")
