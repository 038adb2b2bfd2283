"""The statistics that features are normalised by, per coefficient or per band."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from ser.data.workers import core_count

_SAMPLES, _COLUMNS = 256, 8192
"""How many at once: 16 MiB in float64."""


def fit_per_coefficient(features: NDArray[np.float32]) -> StandardScaler:
    """Fit mean and scale of every feature in every frame of float32 [samples, features, frames], padding included.

    One pass, in float64. The cores divide the columns among them, which changes no number.
    """
    columns = features.reshape(len(features), -1)
    blocks = [columns[:, start : start + _COLUMNS] for start in range(0, columns.shape[1], _COLUMNS)]
    with ThreadPoolExecutor(core_count()) as pool:
        fitted = list(pool.map(_fit_block, blocks))
    scaler = fitted[0]
    scaler.n_features_in_ = columns.shape[1]
    for name in ("mean_", "var_", "scale_"):
        setattr(scaler, name, np.concatenate([getattr(block, name) for block in fitted]))
    return scaler


def _fit_block(columns: NDArray[np.float32]) -> StandardScaler:
    scaler = StandardScaler()
    for start in range(0, len(columns), _SAMPLES):
        scaler.partial_fit(columns[start : start + _SAMPLES])
    return scaler


def fit_per_band(features: NDArray[np.float32], lengths: NDArray[np.int64]) -> StandardScaler:
    """Fit mean and scale of every row of float32 [samples, features, frames], over the first `lengths` frames of each.

    `lengths` is int64 [samples].
    """
    scaler = StandardScaler()
    mask = np.arange(features.shape[2]) < lengths[:, np.newaxis]  # [samples, frames]
    for start in range(0, len(features), _SAMPLES):
        block = slice(start, start + _SAMPLES)
        scaler.partial_fit(features[block].transpose(0, 2, 1)[mask[block]])  # [frames before the padding, features]
    return scaler
