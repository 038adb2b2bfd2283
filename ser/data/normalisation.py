"""The statistics that features are standardised by."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from sklearn.preprocessing import StandardScaler

from ser.data.workers import core_count

_SAMPLES, _COLUMNS = 256, 8192
"""How many at once: 16 MiB in float64."""


def fit_per_coefficient(features: np.ndarray) -> StandardScaler:
    """Fit mean and scale of every column of float32 [samples, features, frames], in one pass and float64.

    The columns are shared out among the cores; no column's sums depend on another's, so no number changes by it.
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


def _fit_block(columns: np.ndarray) -> StandardScaler:
    scaler = StandardScaler()
    for start in range(0, len(columns), _SAMPLES):
        scaler.partial_fit(columns[start : start + _SAMPLES])
    return scaler


def fit_per_band(features: np.ndarray) -> StandardScaler:
    """Fit mean and scale of every row of float32 [samples, features, frames], over the frames that are not padding.

    Padding is zeros in every row, as `ser.features.extract.fit_length` adds it.
    """
    scaler = StandardScaler()
    for start in range(0, len(features), _SAMPLES):
        block = features[start : start + _SAMPLES]
        scaler.partial_fit(block.transpose(0, 2, 1)[block.any(axis=1)])  # [real frames, features]
    return scaler
