"""The statistics that features are normalised by, per coefficient or per band."""

from concurrent.futures import ThreadPoolExecutor

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
