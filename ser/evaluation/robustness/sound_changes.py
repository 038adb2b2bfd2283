"""Changes of a recording's sound that keep its emotion: level, noise, telephone, room.

Light: worker processes import it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from ser.audio.io import read_sound
from ser.augment.waveform import recording_rng
from ser.corpora.manifest import Recording
from ser.features.pipeline import network_input, preprocess
from ser.features.settings import FeatureSettings

TELEPHONE_HZ = (300.0, 3400.0)
RIR_T60 = 0.3
RIR_DIRECT_DB = 5.0

_ORDER = 4
_BLOCK_SECONDS = 0.02
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class SoundChange:
    """A change with its name and what it is, in a few words.

    Attributes
    ----------
    apply : (waveform float32 [samples], sample rate in Hz, random generator) -> float32 [samples], a new array.
    """

    name: str
    label: str
    apply: Callable[[NDArray[np.float32], int, np.random.Generator], NDArray[np.float32]]


def gain(waveform: NDArray[np.float32], *, decibels: float) -> NDArray[np.float32]:
    """Return the waveform louder, or softer, by `decibels`; what exceeds full scale is not clipped."""
    return waveform * np.float32(10 ** (decibels / 20))


def speech_power(waveform: NDArray[np.float32], *, sample_rate: int) -> float:
    """Return the mean power of the loudest half of the 20 ms blocks, so that pauses do not count."""
    size = round(_BLOCK_SECONDS * sample_rate)
    n_blocks = len(waveform) // size
    powers = np.square(waveform[: n_blocks * size], dtype=np.float64).reshape(n_blocks, size).mean(axis=1)
    return float(np.sort(powers)[n_blocks // 2 :].mean())


def white_noise(
    waveform: NDArray[np.float32], *, snr_db: float, sample_rate: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the waveform with white Gaussian noise `snr_db` below the level of its speech (`speech_power`)."""
    deviation = np.sqrt(speech_power(waveform, sample_rate=sample_rate) * 10 ** (-snr_db / 10))
    return waveform + np.float32(deviation) * rng.standard_normal(len(waveform), dtype=np.float32)


def telephone(waveform: NDArray[np.float32], *, sample_rate: int) -> NDArray[np.float32]:
    """Return the waveform within 300 to 3,400 Hz: a Butterworth band-pass of order 4 at each edge, run forwards."""
    sections = butter(_ORDER, TELEPHONE_HZ, btype="bandpass", fs=sample_rate, output="sos")
    return np.asarray(sosfilt(sections, waveform), dtype=np.float32)


def draw_rir(*, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the impulse response of a small room, float64 [samples]: the direct sound, 1, and then a tail.

    The tail is Gaussian noise that falls by 60 dB in `RIR_T60` seconds (Polack 1988) and holds in all `RIR_DIRECT_DB`
    less energy than the direct sound. It ends 90 dB down.
    """
    seconds = np.arange(1, round(1.5 * RIR_T60 * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(seconds)) * 10 ** (-3 * seconds / RIR_T60)
    tail *= 10 ** (-RIR_DIRECT_DB / 20) / np.sqrt(np.sum(tail**2))
    return np.concatenate([[1.0], tail])


def convolve_rir(waveform: NDArray[np.float32], *, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the waveform in a small room, float32 [samples], of the same length and without delay."""
    response = draw_rir(sample_rate=sample_rate, rng=rng)
    return np.asarray(fftconvolve(waveform, response)[: len(waveform)], dtype=np.float32)


CHANGES = (
    SoundChange(name="louder", label="12 dB louder", apply=lambda wave, rate, rng: gain(wave, decibels=12)),
    SoundChange(name="softer", label="12 dB softer", apply=lambda wave, rate, rng: gain(wave, decibels=-12)),
    SoundChange(
        name="noise_20_db",
        label="white noise 20 dB below the speech",
        apply=lambda wave, rate, rng: white_noise(wave, snr_db=20, sample_rate=rate, rng=rng),
    ),
    SoundChange(
        name="noise_10_db",
        label="white noise 10 dB below the speech",
        apply=lambda wave, rate, rng: white_noise(wave, snr_db=10, sample_rate=rate, rng=rng),
    ),
    SoundChange(
        name="telephone",
        label="telephone band, 300 to 3,400 Hz",
        apply=lambda wave, rate, rng: telephone(wave, sample_rate=rate),
    ),
    SoundChange(
        name="rir",
        label="small room, T60 0.3 s",
        apply=lambda wave, rate, rng: convolve_rir(wave, sample_rate=rate, rng=rng),
    ),
)


def change(waveform: NDArray[np.float32], by: SoundChange, *, sample_rate: int, name: str) -> NDArray[np.float32]:
    """Return the waveform of the recording `name` changed; its random numbers follow from both names alone."""
    return by.apply(waveform, sample_rate, recording_rng(seed=_SEED, name=f"{name}/{by.name}", copy=0))


def load_changed_features(
    recording: Recording, *, settings: FeatureSettings
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the features of a recording, unchanged and then by each of `CHANGES`.

    Returns
    -------
    features : float32 [1 + changes, features, max_length], not normalised.
    lengths : int64 [1 + changes], frames before the padding.

    Raises
    ------
    AudioError : as `ser.audio.io.read_sound`.
    """
    rate = settings.sample_rate
    waveform = read_sound(recording.path, sample_rate=rate).waveform
    changed = [waveform, *(change(waveform, by, sample_rate=rate, name=recording.stem) for by in CHANGES)]
    inputs = [network_input(preprocess(one, settings), settings) for one in changed]
    return np.stack([features for features, _ in inputs]), np.array([length for _, length in inputs], dtype=np.int64)
