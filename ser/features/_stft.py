"""The short-time Fourier transform: shared by features and the phase vocoder."""

from functools import lru_cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ser.features.compiled import fft_kernels

_FRAMES_AT_ONCE = 32
"""How many frames are worth working on together: enough to outweigh a call, few enough for the processor's cache."""


@lru_cache(maxsize=16)
def hann_window(length: int) -> NDArray[np.float64]:
    """Return the periodic Hann window, float64 `[length]`, read-only (`scipy.signal.get_window("hann", length)`)."""
    window = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, length + 1)[:-1])
    window.flags.writeable = False
    return window


def count_frames(n_samples: int, *, hop_length: int) -> int:
    """Return how many centred frames a waveform has."""
    return 1 + n_samples // hop_length


def centred_frames(waveform: NDArray[np.float32], *, n_fft: int, hop_length: int) -> NDArray[np.float32]:
    """Return the frames that `librosa.stft` transforms, before the window, float32 `[frames, n_fft]`.

    The middle of frame t is sample `t * hop_length`, and zeros lie beyond both ends. It is a read-only view in which
    frames overlap.
    """
    padded = padded_waveform(waveform, n_fft=n_fft)
    shape = (count_frames(len(waveform), hop_length=hop_length), n_fft)
    strides = (hop_length * padded.itemsize, padded.itemsize)
    return np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)


def padded_waveform(waveform: NDArray[np.float32], *, n_fft: int, spare: int = 0) -> NDArray[np.float32]:
    """Return the waveform between half a frame of zeros and another, and `spare` more, float32 `[samples]`."""
    padded = np.zeros(len(waveform) + n_fft + spare, dtype=np.float32)
    padded[n_fft // 2 : n_fft // 2 + len(waveform)] = waveform
    return padded


def power_spectrum(waveform: NDArray[np.float32], *, n_fft: int, hop_length: int) -> NDArray[np.float32]:
    """Return the squared magnitudes of the short-time Fourier transform, float32 `[frames, 1 + n_fft // 2]`.

    The transform is in double precision and then rounded, as librosa's is; in single precision the quiet bins would
    differ, and with them valleys and tunings. `ser.features.compiled` says when it is a compiled one.
    """
    kernels = fft_kernels(n_fft)
    if kernels:
        return by_kernels(kernels, waveform, n_fft=n_fft, hop_length=hop_length)
    return by_numpy(waveform, n_fft=n_fft, hop_length=hop_length)


def by_kernels(
    kernels: ModuleType, waveform: NDArray[np.float32], *, n_fft: int, hop_length: int
) -> NDArray[np.float32]:
    """Return what `power_spectrum` does, by `ser.features._fft_kernels`."""
    padded = padded_waveform(waveform, n_fft=n_fft, spare=(kernels.LANES - 1) * hop_length)
    power = np.empty((count_frames(len(waveform), hop_length=hop_length), 1 + n_fft // 2), dtype=np.float32)
    kernels.power_spectra(padded, hop_length, hann_window(n_fft), kernels.twiddles(n_fft), power.reshape(-1))
    return power


def by_numpy(waveform: NDArray[np.float32], *, n_fft: int, hop_length: int) -> NDArray[np.float32]:
    """Return what `power_spectrum` does. Fresh memory would cost more than the arithmetic: hence the buffers."""
    frames, n_bins = centred_frames(waveform, n_fft=n_fft, hop_length=hop_length), 1 + n_fft // 2
    power = np.empty((len(frames), n_bins), dtype=np.float32)
    windowed = np.empty((_FRAMES_AT_ONCE, n_fft))
    spectrum = np.empty((_FRAMES_AT_ONCE, n_bins), dtype=np.complex128)
    rounded = np.empty((_FRAMES_AT_ONCE, n_bins), dtype=np.complex64)
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        part = power[start : start + _FRAMES_AT_ONCE]
        n = len(part)  # fewer at the end
        np.multiply(frames[start : start + n], hann_window(n_fft), out=windowed[:n])
        np.fft.rfft(windowed[:n], axis=1, out=spectrum[:n])
        rounded[:n] = spectrum[:n]
        np.abs(rounded[:n], out=part)
        np.square(part, out=part)
    return power
