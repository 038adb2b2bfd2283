"""The short-time Fourier transform that features and the phase vocoder share."""

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


class SpectrumReader:
    """The short-time Fourier transform of a waveform, read a few frames at a time.

    Frames are centred, as `librosa.stft` has them: the middle of frame t is sample `t * hop_length`, and zeros lie
    beyond both ends. The transform is in double precision and then rounded, as librosa's is; in single precision the
    quiet bins would differ, and with them valleys, tunings and phases. Every reading goes through the same buffers,
    because fresh memory costs more than the arithmetic.

    Attributes
    ----------
    n_frames : frames of the waveform.
    n_bins : `1 + n_fft // 2`.
    """

    def __init__(self, waveform: NDArray[np.float32], *, n_fft: int, hop_length: int) -> None:
        self.n_frames = count_frames(len(waveform), hop_length=hop_length)
        self.n_bins = 1 + n_fft // 2
        padded = np.zeros(len(waveform) + n_fft, dtype=np.float32)
        padded[n_fft // 2 : n_fft // 2 + len(waveform)] = waveform
        self._frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
        self._windowed = np.empty((FRAMES_AT_ONCE, n_fft))
        self._spectrum = np.empty((FRAMES_AT_ONCE, self.n_bins), dtype=np.complex128)

    def read(self, first: int, out: NDArray[np.complex64]) -> None:
        """Fill `out`, complex64 `[frames, n_bins]`, with the frames from `first` on, and with zeros after the last."""
        for start in range(0, len(out), FRAMES_AT_ONCE):
            part = out[start : start + FRAMES_AT_ONCE]
            frames = self._frames[first + start : first + start + len(part)]
            n = len(frames)
            np.multiply(frames, hann_window(frames.shape[1]), out=self._windowed[:n])
            np.fft.rfft(self._windowed[:n], axis=1, out=self._spectrum[:n])
            part[:n] = self._spectrum[:n]
            part[n:] = 0
