"""A model's ear tuned to one speaker: how a neutral voice differs from the neutral voices heard in training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ser.errors import SettingsError
from ser.features import FeatureSettings, rows_of

_SHARE_OF_COLOUR = 1 / 3
"""How far the bands are shifted towards the neutral mean; chosen on validation actors."""


def mean_of_bands(features: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean of each row over all frames that are not padding, float32 [features].

    Parameters
    ----------
    features : one float32 [features, frames] a recording; frames of zeros are padding.
    """
    total, count = 0.0, 0
    for one in features:
        real = one[:, one.any(axis=0)]
        total = total + real.sum(axis=1, dtype=np.float64)
        count += real.shape[1]
    return np.asarray(total / count, dtype=np.float32)


def speaker_shift(
    features: Sequence[NDArray[np.float32]], neutral: Sequence[float], settings: FeatureSettings
) -> NDArray[np.float32]:
    """Return what is to be taken off each row of a speaker's features, float32 [features].

    It is how far the mean of the speaker's neutral recordings lies from that of the training part's: of the pitch in
    full; of the log-mel bands a third, and their common level not, as a few recordings tell little of a voice's colour;
    of voicing nothing. (All of everything loses more than it gains; docs/experiments.md.) Of other groups in full.

    Parameters
    ----------
    features : of the speaker's neutral recordings, each float32 [features, frames], padded with zeros; one or more.
    neutral : the mean of each row over the training part's neutral recordings (`Description.neutral_mean`).
    settings : which rows are what.

    Raises
    ------
    SettingsError : the model does not know that mean.
    """
    if not neutral:
        raise SettingsError("This model cannot be tuned to a speaker: it was trained without neutral log-mel features.")
    if not len(features):
        raise SettingsError("No recording to tune the model with; give one or more of the speaker's neutral voice.")
    shift = mean_of_bands(features) - np.asarray(neutral, dtype=np.float32)
    rows = rows_of(settings)
    if "logmel" in rows:
        bands = shift[rows["logmel"]]
        shift[rows["logmel"]] = _SHARE_OF_COLOUR * (bands - bands.mean())
    if "pitch" in rows:
        shift[rows["pitch"].stop - 1] = 0  # voicing
    return shift


def shifted(features: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [batch, features, frames] with `shift` taken off each row of the frames that are not padding."""
    real = features.any(axis=1, keepdims=True)  # [batch, 1, frames]
    return features - shift[None, :, None] * real
