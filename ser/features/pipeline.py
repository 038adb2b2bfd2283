"""A recording to what a network is fed, with what a person should know of it. Light: worker processes import it."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser.audio.io import Sound, read_sound
from ser.audio.trim import Trimmed, trim_and_level
from ser.errors import AudioError
from ser.features.extract import FeatureSettings, extract, fit_length

QUIET_PEAK = 10 ** (-50 / 20)
"""Below it a recording is called very quiet; the quietest of RAVDESS peaks at -47 dBFS."""


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """One recording, ready for a network.

    Attributes
    ----------
    features : float32 [features, max_length], not normalised.
    length : frames of the recording before the padding, 1 to `max_length`.
    offset : seconds into the recording at which the first frame lies.
    duration : seconds of the recording.
    warnings : what to bear in mind about it, in sentences; mostly empty.
    """

    features: np.ndarray
    length: int
    offset: float
    duration: float
    warnings: tuple[str, ...]


def load_features(source: Path | bytes, *, settings: FeatureSettings, name: str | None = None) -> ModelInput:
    """Decode a recording and extract its features.

    Raises
    ------
    AudioError : as `ser.audio.io.read_sound`.
    """
    sound = read_sound(source, sample_rate=settings.sample_rate, name=name)
    conditioned = trim_and_level(sound.waveform, settings)
    warnings = warnings_of_level(sound)
    if len(conditioned.waveform) > settings.duration * settings.sample_rate:
        warnings += (f"Only the first {settings.duration:.1f} of {sound.duration:.1f} seconds were heard.",)
    features, length = network_input(conditioned, settings)
    return ModelInput(
        features=features,
        length=length,
        offset=conditioned.start / settings.sample_rate,
        duration=sound.duration,
        warnings=warnings,
    )


def network_input(conditioned: Trimmed, settings: FeatureSettings) -> tuple[np.ndarray, int]:
    """Return float32 [features, max_length], not normalised, cut or padded; and the frames before the padding."""
    features = extract(conditioned.waveform, settings)
    return fit_length(features, settings.max_length), min(features.shape[1], settings.max_length)


def try_load_features(path: Path, *, settings: FeatureSettings) -> ModelInput | str:
    """Return what `load_features` does, or the reason where it raises: an exception would end a whole map."""
    try:
        return load_features(path, settings=settings)
    except AudioError as error:
        return str(error)


def warnings_of_level(sound: Sound) -> tuple[str, ...]:
    """Return what a person should know of how loud a recording is, in sentences; mostly none."""
    if sound.clipped:
        return ("The recording is clipped; record it at a lower level.",)
    if sound.peak < QUIET_PEAK:
        return (f"The recording is very quiet (peak {20 * math.log10(sound.peak):.0f} dBFS); record it closer.",)
    return ()
