"""The one way from a file, bytes or an array to the input of a network. Light: worker processes import it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser.audio.io import Sound, Source, read_sound
from ser.audio.trim import trim_and_level
from ser.errors import AudioError
from ser.features.extract import extract, fit_length
from ser.features.settings import FeatureSettings

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
    warnings : what a person should know about the recording, in sentences; mostly empty.
    """

    features: NDArray[np.float32]
    length: int
    offset: float
    duration: float
    warnings: tuple[str, ...]


def load_features(source: Source, *, settings: FeatureSettings, name: str | None = None) -> ModelInput:
    """Decode a recording, preprocess it and extract its features.

    Raises
    ------
    AudioError : as `ser.audio.io.read_sound`.
    SettingsError : the settings need librosa, which is not installed.
    """
    sound = read_sound(source, sample_rate=settings.sample_rate, name=name)
    waveform, start = preprocess(sound.waveform, settings)
    warnings = warnings_of_level(sound)
    if len(waveform) > settings.duration * settings.sample_rate:
        warnings += (f"Only the first {settings.duration:.1f} of {sound.duration:.1f} seconds were used.",)
    features, length = network_input(waveform, settings)
    offset = start / settings.sample_rate
    return ModelInput(features=features, length=length, offset=offset, duration=sound.duration, warnings=warnings)


def preprocess(waveform: NDArray[np.float32], settings: FeatureSettings) -> tuple[NDArray[np.float32], int]:
    """Return `ser.audio.trim.trim_and_level`, by the settings, of float32 [samples] at `settings.sample_rate`."""
    sizes = {"sample_rate": settings.sample_rate, "block_length": settings.hop_length}
    return trim_and_level(waveform, trim=settings.trim, level_db=settings.level_db, **sizes)


def network_input(waveform: NDArray[np.float32], settings: FeatureSettings) -> tuple[NDArray[np.float32], int]:
    """Return float32 [features, max_length], not normalised, cut or padded; and the frames before the padding."""
    features = extract(waveform, settings)
    return fit_length(features, settings.max_length), min(features.shape[1], settings.max_length)


def try_load_features(task: tuple[str, Source], *, settings: FeatureSettings) -> tuple[str, ModelInput | str]:
    """Return the name of a named source, and what `load_features` does or the reason where it raises AudioError.

    An exception would end a whole map.
    """
    name, source = task
    try:
        return name, load_features(source, settings=settings, name=name)
    except AudioError as error:
        return name, str(error)


def warnings_of_level(sound: Sound) -> tuple[str, ...]:
    """Return what a person should know about a recording's level, in sentences; mostly none."""
    if sound.clipped:
        return ("The recording is clipped; record it at a lower level.",)
    if sound.peak < QUIET_PEAK:
        return (f"The recording is very quiet (peak {20 * math.log10(sound.peak):.0f} dBFS); record it closer.",)
    return ()
