"""Confidence intervals of metrics by a bootstrap that resamples speakers, never single recordings.

Errors on recordings of one speaker are correlated, so resampling recordings would give far too narrow intervals.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Statistic = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Counts [..., classes, classes], rows true, to a fraction of each matrix [...]."""


def accuracy(confusions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the fraction of recordings that were recognised, for each matrix of [..., classes, classes]."""
    return np.asarray(np.trace(confusions, axis1=-2, axis2=-1) / confusions.sum(axis=(-2, -1)))


def unweighted_average_recall(confusions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean recall over the classes that have recordings, for each matrix of [..., classes, classes]."""
    support = confusions.sum(axis=-1)
    recalls = np.diagonal(confusions, axis1=-2, axis2=-1) / np.maximum(support, 1)
    return np.asarray(recalls.sum(axis=-1) / np.maximum((support > 0).sum(axis=-1), 1))


def confusions_by_speaker(
    truth: ArrayLike, predicted: ArrayLike, speakers: ArrayLike, n_classes: int
) -> dict[str, NDArray[np.int64]]:
    """Count pairs of class numbers for each speaker.

    Parameters
    ----------
    truth, predicted : integer [n]; speakers : their names, text [n].

    Returns
    -------
    Speaker -> int64 [n_classes, n_classes], rows true, in the order of the names.
    """
    names, rows = np.unique(np.asarray(speakers), return_inverse=True)
    counts = np.zeros((len(names), n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (rows, np.asarray(truth), np.asarray(predicted)), 1)
    return dict(zip(names.tolist(), counts, strict=True))


def speaker_interval(
    confusions: ArrayLike,
    statistic: Statistic,
    *,
    resamples: int,
    seed: int,
    reference: ArrayLike | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile interval of `statistic`, of the pooled recordings and averaged over models.

    Each resample draws as many speakers as there are, with replacement, with all their recordings and for all models
    alike (Efron and Tibshirani 1993, chapter 13, with speakers as the units).

    Parameters
    ----------
    confusions : integer [models, speakers, classes, classes]; the models are the same network from different seeds.
    resamples : at least 1; 2,000 and more for an interval that is stable to half a percent.
    reference : of the same shape, models and speakers: the interval is that of what `statistic` gains from there to
        `confusions`. Both are resampled by the same draws, and their difference varies over speakers mostly much less
        than either side.
    level : the fraction of resamples inside the interval, in (0, 1).

    Returns
    -------
    The lower and the upper end.
    """
    n_speakers = np.shape(confusions)[1]
    # How often each speaker is drawn: [resamples, speakers].
    drawn = np.random.default_rng(seed).multinomial(n_speakers, np.full(n_speakers, 1 / n_speakers), size=resamples)

    def resampled(counts: ArrayLike) -> NDArray[np.float64]:
        pooled = np.einsum("ra,mait->rmit", drawn, np.asarray(counts), optimize=True)
        return np.asarray(statistic(pooled).mean(axis=1))

    values = resampled(confusions) - (0 if reference is None else resampled(reference))  # [resamples]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
