"""The short-time Fourier transform: shared by features and the phase vocoder."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FRAMES_AT_ONCE = 32
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
    """Return the frames that `librosa.stft` transforms, before the window.

    The middle of frame t is sample `t * hop_length`, and zeros lie beyond both ends.

    Returns
    -------
    float32 `[frames, n_fft]`, a read-only view in which frames overlap.
    """
    padded = np.zeros(len(waveform) + n_fft, dtype=np.float32)
    padded[n_fft // 2 : n_fft // 2 + len(waveform)] = waveform
    shape = (count_frames(len(waveform), hop_length=hop_length), n_fft)
    strides = (hop_length * padded.itemsize, padded.itemsize)
    return np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)


class SpectrumReader:
    """The short-time Fourier transform of a waveform, read a few frames at a time.

    The transform is in double precision and then rounded, as librosa's is; in single precision the quiet bins would
    differ, and with them valleys and tunings. Every reading goes through the same buffers, because fresh memory costs
    more than the arithmetic.

    Attributes
    ----------
    n_frames : frames of the waveform.
    n_bins : `1 + n_fft // 2`.
    """

    def __init__(self, waveform: NDArray[np.float32], *, n_fft: int, hop_length: int) -> None:
        self._frames = centred_frames(waveform, n_fft=n_fft, hop_length=hop_length)
        self.n_frames = len(self._frames)
        self.n_bins = 1 + n_fft // 2
        self._windowed = np.empty((FRAMES_AT_ONCE, n_fft))
        self._spectrum = np.empty((FRAMES_AT_ONCE, self.n_bins), dtype=np.complex128)

    def read(self, first: int, out: NDArray[np.complex64]) -> None:
        """Fill `out`, complex64 `[frames, n_bins]`, with the frames from `first` on."""
        for start in range(0, len(out), FRAMES_AT_ONCE):
            part = out[start : start + FRAMES_AT_ONCE]
            frames = self._frames[first + start : first + start + len(part)]
            windowed, spectrum = self._windowed[: len(part)], self._spectrum[: len(part)]
            np.multiply(frames, hann_window(frames.shape[1]), out=windowed)
            np.fft.rfft(windowed, axis=1, out=spectrum)
            part[:] = spectrum
