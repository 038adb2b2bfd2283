"""From a recording to the features of itself and of its augmented copies: what cache and shards have in common."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser.audio.levels import without_offset
from ser.augment.waveform import AugmentSettings, augment, recording_rng
from ser.corpora.manifest import Recording
from ser.corpora.sound import read_recording
from ser.data.fingerprint import fingerprint
from ser.errors import SettingsError
from ser.features.extract import extract
from ser.features.pipeline import preprocess
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One row of a data set: a recording unchanged (`copy` 0), or its augmented copy number 1, 2, ..."""

    recording: Recording
    copy: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the features of a sample depend on.

    `augment` changes a copy's waveform: settings of `ser.augment.waveform.augment`, or something of one's own that is
    called with a waveform, float32 [samples], `sample_rate` and `rng`, and returns another. `augment_seed` seeds the
    augmentation of a copy together with the recording's name and the copy's number, so results do not depend on the
    number of workers or the order of the work.
    """

    features: FeatureSettings
    augment: AugmentSettings | Callable[..., NDArray[np.float32]]
    augment_seed: int

    @property
    def own_groups(self) -> dict[str, str]:
        """The fingerprint of each group of features of one's own, by its name."""
        groups = self.features.own_groups.items()
        return {name: fingerprint(group, where=f"features.own_groups.{name}") for name, group in groups}

    @property
    def augmentation(self) -> str:
        """The settings of the augmentation as JSON; a fingerprint of one's own."""
        if isinstance(self.augment, AugmentSettings):
            return json.dumps(as_plain(self.augment), sort_keys=True)
        return fingerprint(self.augment, where="augment")


def waveform_of(recording: Recording, recipe: Recipe) -> NDArray[np.float32]:
    """Return the waveform that all copies of a recording are made from, float32 [samples] at the features' rate.

    Raises
    ------
    AudioError : as `read_recording`.
    """
    return without_offset(read_recording(recording, sample_rate=recipe.features.sample_rate))


def features_of(waveform: NDArray[np.float32], sample: Sample, recipe: Recipe) -> NDArray[np.float32]:
    """Return the features of a sample, float32 [features, frames], not cut to a length.

    Parameters
    ----------
    waveform : of its recording, by `waveform_of`.

    Raises
    ------
    SettingsError : an augmentation of one's own returned no waveform.
    """
    changed, rate = waveform, recipe.features.sample_rate
    if sample.copy:
        rng = recording_rng(seed=recipe.augment_seed, name=sample.recording.id, copy=sample.copy)
        if isinstance(recipe.augment, AugmentSettings):
            changed = augment(waveform, recipe.augment, sample_rate=rate, rng=rng)
        else:
            changed = _as_waveform(recipe.augment(waveform, sample_rate=rate, rng=rng), recipe.augment)
    return extract(preprocess(changed, recipe.features)[0], recipe.features)


def _as_waveform(value: Any, own: Callable[..., Any]) -> NDArray[np.float32]:
    """Return what an augmentation of one's own has returned as float32 [samples]; NumPy easily makes it float64.

    Raises
    ------
    SettingsError : it is no waveform.
    """
    error, found = None, "None" if value is None else type(value).__name__
    try:
        waveform = np.asarray(value, dtype=np.float32)
        if value is not None and waveform.ndim == 1 and waveform.size and np.isfinite(waveform).all():
            return waveform
        if isinstance(value, np.ndarray):
            found = f"an array of shape {list(waveform.shape)}"
            found += "" if np.isfinite(waveform).all() else " with values that are not finite"
    except (TypeError, ValueError) as refused:
        error = refused
    function = getattr(own, "func", own)  # of a function with settings bound
    named = function if hasattr(function, "__qualname__") else type(function)
    raise SettingsError(
        f"augment is {named.__module__}.{named.__qualname__}, which returned {found}, but should return a waveform: "
        "finite numbers [samples], one or more."
    ) from error
