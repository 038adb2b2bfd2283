"""Probabilities that mean what they say: a temperature, the loss that chooses it, and when to call an answer uncertain.

How far probabilities are from that is `ser.evaluation.metrics.expected_calibration_error`. Probabilities here are float
`[n, classes]`, each row summing to 1; truth is integer `[n]`, class numbers.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

TEMPERATURE_RANGE = (0.1, 10.0)
"""A few recordings that are all right, or all wrong, would else give a temperature of zero, or without end."""

_LEAST = float(np.finfo(np.float32).tiny)  # a network's softmax in single precision knows nothing below


def log_loss(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Return the mean negative log-likelihood of the truth, in nats (`sklearn.metrics.log_loss`).

    Raises
    ------
    ValueError : the shapes do not match, or there is no row.
    """
    table, labels = _checked(probabilities, truth)
    return float(-_logarithms(table)[np.arange(len(labels)), labels].mean())


def apply_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Return p ** (1 / temperature), each row brought back to a sum of 1.

    That is the softmax of logits divided by the temperature, because log p is the logits up to a constant of the row.
    Over 1 it makes answers less confident; it never changes which class is the largest.

    Raises
    ------
    ValueError : the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, but should be above 0.")
    return _tempered(_logarithms(np.asarray(probabilities, dtype=np.float64)), 1 / temperature)


def fit_temperature(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Return the temperature that minimises the log-loss (Guo et al. 2017, arXiv:1706.04599, section 4.2).

    The loss is convex in the inverse temperature, so the place where its derivative changes sign is found by halving.

    Returns
    -------
    Within `TEMPERATURE_RANGE`; one of its ends where the loss falls all the way to it.

    Raises
    ------
    ValueError : the shapes do not match, or there is no row.
    """
    table, labels = _checked(probabilities, truth)
    logits = _logarithms(table)
    of_truth = logits[np.arange(len(labels)), labels].mean()
    low, high = 1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]
    for _ in range(60):
        middle = (low + high) / 2
        slope = (_tempered(logits, middle) * logits).sum(axis=1).mean() - of_truth
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 2 / (low + high)


def fit_rejection_threshold(probabilities: ArrayLike, truth: ArrayLike, *, accuracy: float) -> float | None:
    """Return the lowest confidence from which on the answers are right often enough.

    The confidence of an answer is its largest probability; answers of at least the threshold are kept, the others are
    called uncertain.

    Parameters
    ----------
    accuracy : the share of the kept answers that should be right, in [0, 1].

    Returns
    -------
    0.0 where all answers together are right often enough, None where no confidence is high enough.

    Raises
    ------
    ValueError : the shapes do not match, or there is no row.
    """
    table, labels = _checked(probabilities, truth)
    confidence = table.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (table.argmax(axis=1) == labels)[order]
    accuracies = right.cumsum() / np.arange(1, len(right) + 1)
    if accuracies[-1] >= accuracy:
        return 0.0
    confidence = confidence[order]
    # Answers of equal confidence are kept or left together: only the last of them is a place to cut.
    cuts = np.append(confidence[1:] < confidence[:-1], True)
    enough = np.flatnonzero(cuts & (accuracies >= accuracy))
    return float(confidence[enough[-1]]) if enough.size else None


def _tempered(logits: NDArray[np.float64], inverse_temperature: float) -> NDArray[np.float64]:
    scaled = logits * inverse_temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _logarithms(table: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.maximum(table, _LEAST))


def _checked(probabilities: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    table, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if table.ndim != 2 or table.size == 0 or labels.shape != table.shape[:1]:
        raise ValueError(
            f"probabilities have shape {table.shape} and truth {labels.shape}; they should be [n, classes] and [n]."
        )
    return table, labels
