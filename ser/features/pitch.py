"""The pitch of a voice, frame by frame: a smooth path through the autocorrelation of each frame (Boersma 1993)."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ser.features.compiled import compiled_loops

LOWEST_HZ, HIGHEST_HZ = 60.0, 600.0
_STEPS_AN_OCTAVE = 36
_SPECTRUM_HZ = (50.0, 4000.0)
"""The part of the spectrum that is used: below it lies hum, above it the harmonics of a voice are weak."""
_COST_OF_AN_OCTAVE_DOWN = 0.02
"""Twice a period fits as well as the period itself: of two that fit, the shorter is meant."""
_COST_OF_A_STEP = 0.02
"""What a change of pitch between neighbouring frames costs; in an octave, as much as a voiced frame's fit can give."""


def track_pitch(power: NDArray[np.float32], *, sample_rate: int, n_fft: int) -> NDArray[np.float32]:
    """Return the pitch and the voicing of each frame, float32 [2, frames].

    The first row is log2 of the frequency in Hz, between those of `LOWEST_HZ` and `HIGHEST_HZ`, also where nothing is
    voiced; the second is the normalised autocorrelation at that period: near 1 in a vowel, near 0 in noise.

    Parameters
    ----------
    power : float32 [frames, 1 + n_fft // 2], of frames under a Hann window.
    """
    grid, lags, low, high = _grid(sample_rate, n_fft)
    used = power[:, low:high]
    strength = used @ lags / np.maximum(used.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    strength -= _COST_OF_AN_OCTAVE_DOWN * (grid[-1] - grid)
    path = _smoothest(strength)
    return np.stack([grid[path], strength[np.arange(len(path)), path]]).astype(np.float32)


@cache
def _grid(sample_rate: int, n_fft: int) -> tuple[NDArray[np.float64], NDArray[np.float32], int, int]:
    """Return log2 of the candidates' frequencies, float64 [candidates], and what turns power into autocorrelation.

    That is float32 [bins, candidates] for the bins from the third value to the fourth: the inverse Fourier transform
    at the candidates' periods, over that of the window, which falls off by itself.
    """
    grid = np.arange(np.log2(LOWEST_HZ), np.log2(HIGHEST_HZ), 1 / _STEPS_AN_OCTAVE)
    low, high = (round(hz * n_fft / sample_rate) for hz in _SPECTRUM_HZ)
    high = min(high, n_fft // 2)
    lags = sample_rate / 2**grid  # samples
    cosines = np.cos(2 * np.pi * np.arange(low, high)[:, None] * lags / n_fft)
    return grid, (cosines / _window_autocorrelation(lags / n_fft)).astype(np.float32), low, high


def _window_autocorrelation(lag: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a Hann window's normalised autocorrelation, at lags from 0 to 1 of its length (Boersma 1993, eq. 8)."""
    lag = np.minimum(lag, 0.5)  # beyond, the window has hardly any weight
    turn = 2 * np.pi * lag
    return (1 - lag) * (2 / 3 + np.cos(turn) / 3) + np.sin(turn) / (2 * np.pi)


def _smoothest(strength: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the path with the largest sum of strengths less the costs of its steps, int [frames] (Viterbi 1967)."""
    n_frames, n_candidates = strength.shape
    places, loops = np.arange(n_candidates), compiled_loops()
    path = np.empty(n_frames, dtype=np.intp)
    if loops:
        distance = np.abs(np.arange(1 - n_candidates, n_candidates + loops.LANES - 1))
        loops.find_smoothest(strength, (_COST_OF_A_STEP * distance).astype(np.float32), path)
        return path
    cost = (_COST_OF_A_STEP * np.abs(places[:, None] - places)).astype(np.float32)
    came_from = np.empty((n_frames, n_candidates), dtype=np.intp)
    best = strength[0]
    for frame in range(1, n_frames):
        reached = best - cost  # [to, from]
        came_from[frame] = reached.argmax(axis=1)
        best = reached[places, came_from[frame]] + strength[frame]
    path[-1] = best.argmax()
    for frame in range(n_frames - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path
