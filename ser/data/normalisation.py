"""The statistics that features are normalised by, per coefficient or per band."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from ser.data.storage import StoredFeatures
from ser.data.workers import core_count

_SAMPLES, _COLUMNS = 256, 8192
"""How many at once: 16 MiB in float64."""


def fit_per_coefficient(features: NDArray[np.float32] | StoredFeatures) -> StandardScaler:
    """Fit mean and scale of every feature in every frame of float32 [samples, features, frames], padding included.

    One pass, in float64. The cores divide the columns among them, which changes no number.
    """
    n_columns = features.shape[1] * features.shape[2]
    places = [slice(start, start + _COLUMNS) for start in range(0, n_columns, _COLUMNS)]
    fitted = [StandardScaler() for _ in places]
    with ThreadPoolExecutor(core_count()) as pool:
        for start in range(0, len(features), _SAMPLES):
            columns = features[start : start + _SAMPLES].reshape(-1, n_columns)
            list(pool.map(lambda one, place, of=columns: one.partial_fit(of[:, place]), fitted, places))
    scaler = fitted[0]
    scaler.n_features_in_ = n_columns
    for name in ("mean_", "var_", "scale_"):
        setattr(scaler, name, np.concatenate([getattr(block, name) for block in fitted]))
    return scaler


def fit_per_band(features: NDArray[np.float32] | StoredFeatures, lengths: NDArray[np.int64]) -> StandardScaler:
    """Fit mean and scale of every row of float32 [samples, features, frames], over the first `lengths` frames of each.

    `lengths` is int64 [samples].
    """
    scaler = StandardScaler()
    mask = np.arange(features.shape[2]) < lengths[:, np.newaxis]  # [samples, frames]
    for start in range(0, len(features), _SAMPLES):
        block = slice(start, start + _SAMPLES)
        scaler.partial_fit(features[block].transpose(0, 2, 1)[mask[block]])  # [frames before the padding, features]
    return scaler


@dataclass(frozen=True)
class Moments:
    """What statistics are made of, so that those of parts can be merged.

    Attributes
    ----------
    count : rows that were seen.
    mean, squares : float64 [columns], the mean, and the sum of the squared deviations from it.
    """

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> "Moments":
        """Return those of float32 [rows, columns], which may have no rows."""
        if not len(rows):
            return cls(0, np.zeros(rows.shape[1]), np.zeros(rows.shape[1]))
        mean = rows.mean(axis=0, dtype=np.float64)
        deviations = rows - mean
        return cls(len(rows), mean, np.einsum("ij,ij->j", deviations, deviations))

    def merged(self, other: "Moments") -> "Moments":
        """Return those of both together (Chan, Golub and LeVeque 1979, eq. 2.1)."""
        count = self.count + other.count
        if not count:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        squares = self.squares + other.squares + delta**2 * (self.count * other.count / count)
        return Moments(count, mean, squares)

    def scaler(self) -> StandardScaler:
        """Return mean and scale; the scale of a value that never varies is 1, as scikit-learn has it."""
        variance = self.squares / self.count
        # What rounding alone leaves of the variance of a constant.
        error = self.count * np.finfo(np.float64).eps
        is_constant = variance <= error * variance + (error * self.mean) ** 2
        scaler = StandardScaler()
        scaler.mean_, scaler.var_, scaler.n_features_in_ = self.mean, variance, len(self.mean)
        scaler.scale_ = np.where(is_constant, 1.0, np.sqrt(variance))
        scaler.n_samples_seen_ = self.count
        return scaler
