"""The metrics of a confusion matrix, by scikit-learn, and the calibration error with its bins."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_fscore_support


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """The metrics of one class: fractions in [0, 1], or None where their denominator is zero.

    Attributes
    ----------
    name : the class.
    recall : the fraction of its recordings that were recognised; some papers call it the class's accuracy. None where
        the class has no recording.
    precision : the fraction of its predictions that were correct. None where the class was never predicted.
    f1 : their harmonic mean. None where the class occurs neither as truth nor as prediction.
    support : the number of its recordings.
    """

    name: str
    recall: float | None
    precision: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The metrics of a confusion matrix: fractions in [0, 1].

    Attributes
    ----------
    accuracy : the fraction of all recordings that were recognised.
    uar : unweighted average recall, the mean recall over the classes that have recordings
        (`sklearn.metrics.balanced_accuracy_score`).
    weighted_f1 : the mean F1, weighted by support (`sklearn.metrics.f1_score(average="weighted")`).
    macro_f1 : the mean F1 over the classes that occur as truth or as prediction
        (`sklearn.metrics.f1_score(average="macro")` with its default labels).
    n_recordings : the sum of the matrix.
    per_class : one entry for each class, in the order of the matrix.
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
        """Compute all metrics of `confusion` (integer [classes, classes], rows true, columns predicted).

        Raises
        ------
        ValueError : the matrix is not of whole counts, empty, or not of as many classes as there are names.
        """
        counts = np.asarray(confusion)
        if counts.shape != (len(class_names), len(class_names)):
            raise ValueError(
                f"the confusion matrix has shape {counts.shape}, but there are {len(class_names)} classes."
            )
        if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
            raise ValueError("the confusion matrix should hold counts: integers of 0 or more.")
        if not counts.any():
            raise ValueError("the confusion matrix is empty: there is no recording to score.")
        true, predicted = np.indices(counts.shape).reshape(2, -1)
        precision, recall, f1, support = precision_recall_fscore_support(
            true, predicted, labels=range(len(counts)), sample_weight=counts.ravel(), zero_division=np.nan
        )
        return cls(
            accuracy=float(np.trace(counts) / counts.sum()),
            uar=float(np.nanmean(recall)),
            weighted_f1=float(np.nansum(f1 * support) / counts.sum()),
            macro_f1=float(np.nanmean(f1)),
            n_recordings=int(counts.sum()),
            per_class=tuple(
                ClassMetrics(
                    name=name,
                    recall=_defined(recall[k]),
                    precision=_defined(precision[k]),
                    f1=_defined(f1[k]),
                    support=int(support[k]),
                )
                for k, name in enumerate(class_names)
            ),
            confusion=tuple(tuple(row) for row in counts.tolist()),
        )

    def headline(self) -> dict[str, float]:
        """Return the four metrics that sum up the whole: accuracy, uar, weighted_f1, macro_f1."""
        return {name: getattr(self, name) for name in ("accuracy", "uar", "weighted_f1", "macro_f1")}

    def as_plain(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON: `per_class` by class name, an undefined value as None."""
        per_class = {each.name: {key: x for key, x in asdict(each).items() if key != "name"} for each in self.per_class}
        return {
            **self.headline(),
            "n_recordings": self.n_recordings,
            "per_class": per_class,
            "confusion_matrix": [list(row) for row in self.confusion],
        }


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
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


def reliability_bins(probabilities: ArrayLike, truth: ArrayLike, bins: int = 15) -> tuple[ReliabilityBin, ...]:
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
    counts, confidences, correct = _sums_by_confidence(probabilities, truth, bins)
    return tuple(
        ReliabilityBin(
            low=k / bins,
            high=(k + 1) / bins,
            n=int(n),
            confidence=float(confidences[k] / n) if n else None,
            accuracy=float(correct[k] / n) if n else None,
        )
        for k, n in enumerate(counts)
    )


def expected_calibration_error(probabilities: ArrayLike, truth: ArrayLike, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy (Guo et al. 2017, arXiv:1706.04599, equation 3).

    The gaps of the bins are averaged with their sizes as weights. Parameters and errors are as in `reliability_bins`.

    Returns
    -------
    A fraction in [0, 1]; 0 is perfect.
    """
    counts, confidences, correct = _sums_by_confidence(probabilities, truth, bins)
    return float(np.abs(confidences - correct).sum() / counts.sum())


def _sums_by_confidence(probabilities: ArrayLike, truth: ArrayLike, bins: int) -> list[NDArray[Any]]:
    """Return for each bin its number of predictions, the sum of their confidences, and how many are correct."""
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
    return [np.bincount(groups, weights=each, minlength=bins) for each in weights]


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
