"""How far a recording's pitches lie from equal temperament at A440, in fractions of a chroma step."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ser.features._filterbanks import hz_to_octaves
from ser.features.compiled import compiled_loops

_MIN_HZ, _MAX_HZ = 150.0, 4000.0
_PEAK_THRESHOLD = 0.1
_EDGES = np.linspace(-0.5, 0.5, 101)


def estimate_tuning(power: NDArray[np.float32], *, sample_rate: int, n_fft: int, n_chroma: int) -> float:
    """Return the most frequent deviation of the spectral peaks from the nearest chroma step: -0.50, -0.49, ..., 0.49.

    The peaks lie between 150 and 4,000 Hz, rise above a tenth of their frame's largest power, and are interpolated by a
    parabola; the weaker half of them is left out, and the rest fill a histogram of 100 bins; 0.0 where there
    is none. To the last bit `librosa.estimate_tuning(S=power, ...)`, hence the care about single and double precision.

    Parameters
    ----------
    power : float32 `[frames, 1 + n_fft // 2]`, the power spectrum.
    """
    at = _find_peaks(power, _searched_bins(sample_rate, n_fft))
    if not at.size:
        return 0.0
    flat, bins = power.reshape(-1), at % power.shape[1]
    left, centre, right = flat[at - 1], flat[at], flat[at + 1]
    curvature = (right + left).astype(np.float64) - 2.0 * centre.astype(np.float64)
    slope = (right - left).astype(np.float64) / 2.0
    inside = np.abs(slope) < np.abs(curvature)
    shift = np.divide(-slope, curvature, out=np.zeros_like(slope), where=inside).astype(np.float32)
    pitch = ((bins + shift) * float(sample_rate) / n_fft).astype(np.float32)
    height = centre + np.float32(0.5) * ((right - left) / np.float32(2.0)) * shift
    # `np.median` checks longer than sorting a few hundred values takes.
    pitch = pitch[height >= np.sort(height)[(len(height) - 1) // 2 : len(height) // 2 + 1].mean()]
    residual = np.mod(n_chroma * hz_to_octaves(pitch), 1.0)
    residual[residual >= 0.5] -= 1.0
    counts = np.diff(np.searchsorted(np.sort(residual), _EDGES))
    return float(_EDGES[np.argmax(counts)])


def _find_peaks(power: NDArray[np.float32], searched: slice) -> NDArray[np.intp]:
    """Return the places of the peaks in the flattened power, which rise from one to the next."""
    loops = compiled_loops()
    if loops:
        found = np.empty(len(power) * (searched.stop - searched.start), dtype=np.intp)
        n_found = loops.find_peaks(power, searched.start, searched.stop, np.float32(_PEAK_THRESHOLD), found)
        return found[: int(n_found)]
    loud = power[:, searched] > np.float32(_PEAK_THRESHOLD) * power.max(axis=1, keepdims=True)
    places = np.flatnonzero(loud)
    frame = places // loud.shape[1]  # numpy's own `divmod` is several times slower
    at = places + frame * (power.shape[1] - loud.shape[1]) + searched.start
    flat = power.reshape(-1)
    centre = flat[at]
    peaks: NDArray[np.intp] = at[(centre > flat[at - 1]) & (centre >= flat[at + 1])]
    return peaks


@lru_cache(maxsize=16)
def _searched_bins(sample_rate: int, n_fft: int) -> slice:
    frequencies = np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    start, stop = np.searchsorted(frequencies, (_MIN_HZ, min(_MAX_HZ, sample_rate / 2)))
    return slice(int(start), int(stop))
