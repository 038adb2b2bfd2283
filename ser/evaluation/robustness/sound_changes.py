"""Changes of a recording's sound that keep its emotion: level, noise, telephone, room. Worker processes import it."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from ser.augment.waveform import recording_rng
from ser.corpora.manifest import Recording
from ser.corpora.sound import read_recording
from ser.features.pipeline import network_input, preprocess
from ser.features.settings import FeatureSettings

TELEPHONE_HZ = (300.0, 3400.0)
RIR_T60 = 0.3
RIR_DIRECT_DB = 5.0

Waveform = NDArray[np.float32]
"""[samples], mono."""


def gain(waveform: Waveform, _rate: int, _rng: Generator, *, decibels: float) -> Waveform:
    """Return the waveform louder, or softer, by `decibels`; what exceeds full scale is not clipped."""
    return waveform * np.float32(10 ** (decibels / 20))


def speech_power(waveform: Waveform, *, sample_rate: int) -> float:
    """Return the mean power of the loudest half of the 20 ms blocks, so that pauses do not count."""
    size = round(0.02 * sample_rate)
    n_blocks = len(waveform) // size
    powers = np.square(waveform[: n_blocks * size], dtype=np.float64).reshape(n_blocks, size).mean(axis=1)
    return float(np.sort(powers)[n_blocks // 2 :].mean())


def white_noise(waveform: Waveform, sample_rate: int, rng: Generator, *, snr_db: float) -> Waveform:
    """Return the waveform with white Gaussian noise `snr_db` below the level of its speech (`speech_power`)."""
    deviation = np.sqrt(speech_power(waveform, sample_rate=sample_rate) * 10 ** (-snr_db / 10))
    return waveform + np.float32(deviation) * rng.standard_normal(len(waveform), dtype=np.float32)


def telephone(waveform: Waveform, sample_rate: int, _rng: Generator) -> Waveform:
    """Return the waveform within 300 to 3,400 Hz: a Butterworth band-pass of order 4 at each edge, run forwards."""
    sections = butter(4, TELEPHONE_HZ, btype="bandpass", fs=sample_rate, output="sos")
    return np.asarray(sosfilt(sections, waveform), dtype=np.float32)


def draw_rir(*, sample_rate: int, rng: Generator) -> NDArray[np.float64]:
    """Return the impulse response of a small room, float64 [samples]: the direct sound, 1, and then a tail.

    The tail is Gaussian noise that falls by 60 dB in `RIR_T60` seconds (Polack 1988) and holds in all `RIR_DIRECT_DB`
    less energy than the direct sound. It ends 90 dB down.
    """
    seconds = np.arange(1, round(1.5 * RIR_T60 * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(seconds)) * 10 ** (-3 * seconds / RIR_T60)
    tail *= 10 ** (-RIR_DIRECT_DB / 20) / np.sqrt(np.sum(tail**2))
    return np.concatenate([[1.0], tail])


def convolve_rir(waveform: Waveform, sample_rate: int, rng: Generator) -> Waveform:
    """Return the waveform in a small room, of the same length and without delay."""
    response = draw_rir(sample_rate=sample_rate, rng=rng)
    return np.asarray(fftconvolve(waveform, response)[: len(waveform)], dtype=np.float32)


CHANGES: dict[str, tuple[str, Callable[[Waveform, int, Generator], Waveform]]] = {
    "louder": ("12 dB louder", partial(gain, decibels=12)),
    "softer": ("12 dB softer", partial(gain, decibels=-12)),
    "noise_20_db": ("white noise 20 dB below the speech", partial(white_noise, snr_db=20)),
    "noise_10_db": ("white noise 10 dB below the speech", partial(white_noise, snr_db=10)),
    "telephone": ("telephone band, 300 to 3,400 Hz", telephone),
    "rir": ("small room, T60 0.3 s", convolve_rir),
}
"""Name -> a label of a few words, and the function: (waveform, sample rate in Hz, generator) -> a new waveform."""


def change(waveform: Waveform, by: str, *, sample_rate: int, name: str) -> Waveform:
    """Return the waveform of the recording `name` changed; its random numbers follow from both names alone."""
    return CHANGES[by][1](waveform, sample_rate, recording_rng(seed=0, name=f"{name}/{by}", copy=0))


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
    waveform = read_recording(recording, sample_rate=rate)
    changed = [waveform, *(change(waveform, by, sample_rate=rate, name=recording.id) for by in CHANGES)]
    inputs = [network_input(preprocess(one, settings)[0], settings) for one in changed]
    return np.stack([features for features, _ in inputs]), np.array([length for _, length in inputs], dtype=np.int64)
