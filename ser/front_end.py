"""A recording to what a network is fed, with what a person should know of it. Light: worker processes import it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser.audio import Sound, read_sound
from ser.errors import AudioError
from ser.features import FeatureSettings, extract, fit_length


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One recording, ready for a network.

    Attributes
    ----------
    features : float32 [features, max_length], not standardised.
    duration : seconds of the recording.
    warnings : what to bear in mind about it, in sentences; mostly empty.
    """

    features: np.ndarray
    duration: float
    warnings: tuple[str, ...]


def hear(source: Path | bytes, *, settings: FeatureSettings, name: str | None = None) -> Heard:
    """Decode a recording and extract its features.

    Raises
    ------
    AudioError : as `ser.audio.read_sound`.
    """
    sound = read_sound(source, sample_rate=settings.sample_rate, name=name)
    features = fit_length(extract(sound.waveform, settings), settings.max_length)
    return Heard(features=features, duration=sound.duration, warnings=tuple(_warnings(sound, settings)))


def try_to_hear(path: Path, *, settings: FeatureSettings) -> Heard | str:
    """As `hear`, but return the reason where the recording cannot be read: an exception would end a whole map."""
    try:
        return hear(path, settings=settings)
    except AudioError as error:
        return str(error)


def _warnings(sound: Sound, settings: FeatureSettings) -> Iterator[str]:
    if sound.clipped:
        yield "The recording is clipped; record it at a lower level."
    if sound.duration > settings.duration:
        yield f"Only the first {settings.duration:.1f} of {sound.duration:.1f} seconds were heard."
