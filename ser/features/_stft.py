"""The short-time Fourier transform: shared by features and the phase vocoder."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

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
    padded = np.zeros(len(waveform) + n_fft, dtype=np.float32)
    padded[n_fft // 2 : n_fft // 2 + len(waveform)] = waveform
    shape = (count_frames(len(waveform), hop_length=hop_length), n_fft)
    strides = (hop_length * padded.itemsize, padded.itemsize)
    return np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)


def power_spectrum(waveform: NDArray[np.float32], *, n_fft: int, hop_length: int) -> NDArray[np.float32]:
    """Return the squared magnitudes of the short-time Fourier transform, float32 `[frames, 1 + n_fft // 2]`.

    The transform is in double precision and then rounded, as librosa's is; in single precision the quiet bins would
    differ, and with them valleys and tunings. Fresh memory would cost more than the arithmetic: hence the buffers.
    """
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
