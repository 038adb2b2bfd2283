"""Calibration: the temperature of a model's probabilities, and the threshold below which a prediction is rejected.

How well probabilities are calibrated is `ser.evaluation.metrics.expected_calibration_error`. They are float here,
`[n, classes]`, each row summing to 1; truth is integer `[n]`, class numbers.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

TEMPERATURE_RANGE = (0.1, 10.0)
"""A few recordings that are all correct, or all wrong, would else give a temperature of zero, or infinity."""

TARGET_SELECTIVE_ACCURACY = 0.8
"""Of the predictions that are not rejected, where nobody asks for another."""

_LEAST = float(np.finfo(np.float32).tiny)  # a softmax in single precision has nothing between it and 0


def log_loss(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Return the mean negative log-likelihood of the truth, in nats.

    It is that of `sklearn.metrics.log_loss`, which warns of probabilities that were rounded for a table.

    Raises
    ------
    ValueError : the shapes do not match, or there is no row.
    """
    table, labels = _checked(probabilities, truth)
    return float(-_logarithms(table)[np.arange(len(labels)), labels].mean())


def apply_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Return p ** (1 / temperature), each row brought back to a sum of 1.

    That is the softmax of logits divided by the temperature, because log p is the logits up to a constant of the row.
    A temperature over 1 lowers confidence; it never changes which class is the largest.

    Raises
    ------
    ValueError : the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, but should be above 0.")
    return np.asarray(softmax(_logarithms(np.asarray(probabilities, dtype=np.float64)) / temperature, axis=1))


def fit_temperature(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Return the temperature that minimises the log-loss (Guo et al. 2017, arXiv:1706.04599, section 4.2).

    The loss is convex in the inverse temperature, so the place where its derivative changes sign is found by halving.
    Errors are as in `log_loss`.

    Returns
    -------
    Within `TEMPERATURE_RANGE`; one of its ends where the loss falls all the way to it.
    """
    table, labels = _checked(probabilities, truth)
    logits = _logarithms(table)
    of_truth = logits[np.arange(len(labels)), labels].mean()
    low, high = 1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]
    for _ in range(60):
        middle = (low + high) / 2
        slope = (softmax(logits * middle, axis=1) * logits).sum(axis=1).mean() - of_truth
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 2 / (low + high)


def fit_rejection_threshold(probabilities: ArrayLike, truth: ArrayLike, *, accuracy: float) -> float | None:
    """Return the lowest confidence from which on predictions reach an accuracy.

    The confidence of a prediction is its largest probability; predictions below the threshold are rejected.
    Errors are as in `log_loss`.

    Parameters
    ----------
    accuracy : the target, in [0, 1], of the predictions that are not rejected.

    Returns
    -------
    0.0 where all predictions together reach it, None where no threshold does.
    """
    table, labels = _checked(probabilities, truth)
    confidence = table.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    correct = (table.argmax(axis=1) == labels)[order]
    accuracies = correct.cumsum() / np.arange(1, len(correct) + 1)
    if accuracies[-1] >= accuracy:
        return 0.0
    confidence = confidence[order]
    # Predictions of equal confidence are accepted or rejected together: only after the last of them is a cut.
    cuts = np.append(confidence[1:] < confidence[:-1], True)
    enough = np.flatnonzero(cuts & (accuracies >= accuracy))
    return float(confidence[enough[-1]]) if enough.size else None


def _logarithms(table: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.maximum(table, _LEAST))


def _checked(probabilities: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    table, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if table.ndim != 2 or table.size == 0 or labels.shape != table.shape[:1]:
        raise ValueError(
            f"probabilities have shape {table.shape} and truth {labels.shape}; they should be [n, classes] and [n]."
        )
    return table, labels
