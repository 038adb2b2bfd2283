"""Constant matrices of the acoustic features, each made once for a setting and kept.

They are written from the published formulas, so that inference needs no librosa; the tests hold the filters equal to
`librosa.filters` to the bit. Every array returned here is shared between calls, and therefore read-only.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

_Float = TypeVar("_Float", bound=np.floating[Any])

DELTA_WIDTH = 9
"""Frames that one value of a delta looks at (`librosa.feature.delta`)."""

CONTRAST_MIN_HZ = 200.0
"""Where the lowest band of the spectral contrast ends."""

_CONTRAST_QUANTILE = 0.02
_A440_OCTAVE_ZERO = 440.0 / 16
_MEL_HZ = 200.0 / 3
_MEL_BREAK_HZ = 1000.0
_MEL_BREAK = _MEL_BREAK_HZ / _MEL_HZ
_MEL_LOG_STEP = np.log(6.4) / 27.0
_BANDS_A_BLOCK = 16


def hz_to_octaves(frequencies: NDArray[_Float], *, tuning: float = 0.0, n_chroma: int = 12) -> NDArray[_Float]:
    """Return frequencies in Hz as octaves above A0 tuned by `tuning` chroma steps (`librosa.hz_to_octs`)."""
    return cast(NDArray[_Float], np.log2(frequencies / (_A440_OCTAVE_ZERO * 2.0 ** (tuning / n_chroma))))


@lru_cache(maxsize=16)
def mel_filters(*, sample_rate: int, n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """Return triangles even in Slaney's mel scale from 0 Hz to Nyquist, each of unit area.

    They are float32 `[n_mels, 1 + n_fft // 2]`, weights of a power spectrum. Slaney (1998), Auditory Toolbox;
    `librosa.filters.mel(sr=..., n_fft=..., n_mels=...)`.
    """
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(sample_rate / 2), n_mels + 2))  # [n_mels + 2]
    bins = np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    distance = edges[:, None] - bins
    width = np.diff(edges)[:, None]
    rising = -distance[:-2] / width[:-1]
    falling = distance[2:] / width[1:]
    triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return _fixed((triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32))


@lru_cache(maxsize=16)
def mel_blocks(*, sample_rate: int, n_fft: int, n_mels: int) -> tuple[tuple[slice, slice, NDArray[np.float32]], ...]:
    """Return `mel_filters` in blocks of neighbouring bands, without the bins that a whole block leaves at zero.

    A block is (bands, bins, weights): `mel[:, bands] = power[:, bins] @ weights`.
    """
    filters = mel_filters(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels)
    blocks = []
    for first in range(0, n_mels, _BANDS_A_BLOCK):
        bands = slice(first, min(first + _BANDS_A_BLOCK, n_mels))
        used = np.flatnonzero(filters[bands].any(axis=0))
        bins = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1)
        blocks.append((bands, bins, _fixed(np.ascontiguousarray(filters[bands, bins].T))))
    return tuple(blocks)


@lru_cache(maxsize=256)
def chroma_filters(*, sample_rate: int, n_fft: int, n_chroma: int, tuning: float) -> NDArray[np.float32]:
    """Return Gaussian bumps around each pitch class, beginning at C, weighted towards the fifth octave.

    They are float32 `[n_chroma, 1 + n_fft // 2]`, weights of a power spectrum; `tuning` is the deviation from A440 in
    chroma steps. Ellis (2007), Chroma feature analysis and synthesis; `librosa.filters.chroma` with its defaults.
    """
    n_bins = 1 + n_fft // 2
    frequencies = np.linspace(0, sample_rate, n_fft, endpoint=False)[1 : n_bins + 1]
    steps = n_chroma * hz_to_octaves(frequencies, tuning=tuning, n_chroma=n_chroma)
    steps = np.concatenate(([steps[0] - 1.5 * n_chroma], steps))  # 0 Hz has no pitch: a broad bump below the first bin
    width = np.maximum(np.diff(steps), 1.0)[:n_bins]
    steps = steps[:n_bins]
    half = np.round(n_chroma / 2)
    distance = np.remainder(steps - np.arange(n_chroma)[:, None] + half + 10 * n_chroma, n_chroma) - half
    bumps = np.exp(-0.5 * (2 * distance / width) ** 2)
    bumps /= np.sqrt(np.sum(bumps**2, axis=0))
    bumps *= np.exp(-0.5 * ((steps / n_chroma - 5.0) / 2.0) ** 2)
    return _fixed(np.roll(bumps, -3 * (n_chroma // 12), axis=0).astype(np.float32))


@lru_cache(maxsize=16)
def dct_basis(*, n_rows: int, n_columns: int) -> NDArray[np.float64]:
    """Return the first `n_rows` rows of the orthonormal DCT-II of `n_columns` values, float64 `[n_rows, n_columns]`."""
    angles = np.pi / n_columns * np.arange(n_rows)[:, None] * (np.arange(n_columns) + 0.5)
    basis = np.sqrt(2.0 / n_columns) * np.cos(angles)
    basis[0] = np.sqrt(1.0 / n_columns)
    return _fixed(basis)


@lru_cache(maxsize=1)
def delta_weights() -> NDArray[np.float64]:
    """Return the Savitzky-Golay weights of a window's frames for the deltas of order 1 and 2.

    They are float64 `[DELTA_WIDTH, 2]`, the orders as columns. Savitzky and Golay (1964): a polynomial whose degree is
    the order, fitted to the window by least squares and differentiated as many times
    (`scipy.signal.savgol_coeffs(9, order, deriv=order, use="dot")`).
    """
    places = np.arange(DELTA_WIDTH) - DELTA_WIDTH // 2
    line = np.linalg.pinv(np.vander(places, 2, increasing=True))  # [2, DELTA_WIDTH]: coefficients of 1, x
    parabola = np.linalg.pinv(np.vander(places, 3, increasing=True))
    return _fixed(np.stack((line[1], 2 * parabola[2]), axis=1))


@lru_cache(maxsize=16)
def contrast_bands(*, sample_rate: int, n_fft: int, n_bands: int) -> tuple[tuple[slice, int], ...]:
    """Return the `n_bands + 1` octave bands of the spectral contrast; the first lies below 200 Hz, the last is open.

    A band is its bins, and how many of them make its peak and its valley.
    Jiang et al. (2002), Music type classification by spectral contrast feature; `librosa.feature.spectral_contrast`,
    whose details are kept: every band but the first also has the last bin before it, and every band but the last loses
    its own last bin, which still counts for the fraction of bins that make a peak.
    """
    frequencies = np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    edges = np.concatenate(([0.0], CONTRAST_MIN_HZ * 2.0 ** np.arange(n_bands + 1)))
    bands = []
    for place, (low, high) in enumerate(pairwise(edges)):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        first = int(inside[0]) - (place > 0)
        stop = len(frequencies) if place == n_bands else int(inside[-1]) + 1
        n_extreme = max(int(np.rint(_CONTRAST_QUANTILE * (stop - first))), 1)
        bands.append((slice(first, stop - (place < n_bands)), n_extreme))
    return tuple(bands)


def _hz_to_mel(frequency: float) -> float:
    if frequency < _MEL_BREAK_HZ:
        return frequency / _MEL_HZ
    return float(_MEL_BREAK + np.log(frequency / _MEL_BREAK_HZ) / _MEL_LOG_STEP)


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _MEL_BREAK_HZ * np.exp(_MEL_LOG_STEP * (mels - _MEL_BREAK))
    return np.where(mels < _MEL_BREAK, _MEL_HZ * mels, above)


def _fixed(array: NDArray[_Float]) -> NDArray[_Float]:
    array.flags.writeable = False
    return array
