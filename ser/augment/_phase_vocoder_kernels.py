"""The inner loops of the phase vocoder, compiled: each value is read once, where numpy would go over memory ten times.

They are compiled at their first use (some seconds), and kept beside this file or in the user's cache folder.
"""

from collections.abc import Callable

import numba
import numpy as np
from numpy.typing import NDArray

QUIET = np.float32(1e-18)
"""Below this magnitude a phase is noise; products and quotients of larger ones stay in single precision's range."""


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile at the first call; keep the machine code on disk where there is a folder that may be written."""
    try:
        compiled: Callable[..., None] = numba.njit(function, error_model="numpy", cache=True)
    except RuntimeError:  # numba found no folder: then every process compiles for itself
        compiled = numba.njit(function, error_model="numpy")
    return compiled


@_compiled
def play(
    spectrum: NDArray[np.complex64],
    now: NDArray[np.intp],
    expected: NDArray[np.intp],
    weight: NDArray[np.float32],
    gathered: NDArray[np.complex64],
    played: NDArray[np.complex64],
) -> None:
    """Fill `played` with the frames `now` of `spectrum`, turned by `gathered` and interpolated towards the next ones.

    `gathered` is C in the terms of `ser.augment.phase_vocoder`; where `now` is not `expected`, C changes first. A bin
    below `QUIET` counts as `QUIET` at phase 0, as an angle function gives it for zero.

    Parameters
    ----------
    spectrum : complex64 `[frames, bins]`; one frame more than `now` names.
    now, expected : intp `[steps]`, frames of the spectrum.
    weight : float32 `[steps]`, 0 to 1: how much of the magnitude is the next frame's.
    gathered : complex64 `[bins]`; it is changed.
    played : complex64 `[steps, bins]`; it is filled.
    """
    quiet, one, zero = QUIET, np.float32(1), np.float32(0)
    for step in range(len(now)):
        frame, left = now[step], expected[step]
        if frame != left:
            for b in range(len(gathered)):
                from_re, from_im = spectrum[left, b].real, spectrum[left, b].imag
                to_re, to_im = spectrum[frame, b].real, spectrum[frame, b].imag
                from_size = np.sqrt(from_re * from_re + from_im * from_im)
                to_size = np.sqrt(to_re * to_re + to_im * to_im)
                if from_size < quiet:
                    from_re, from_im, from_size = quiet, zero, quiet
                if to_size < quiet:
                    to_re, to_im, to_size = quiet, zero, quiet
                scale = one / (from_size * to_size)
                turn_re = (from_re * to_re + from_im * to_im) * scale
                turn_im = (from_im * to_re - from_re * to_im) * scale
                c_re, c_im = gathered[b].real, gathered[b].imag
                gathered[b] = complex(c_re * turn_re - c_im * turn_im, c_re * turn_im + c_im * turn_re)
        fraction = weight[step]
        for b in range(len(gathered)):
            re, im = spectrum[frame, b].real, spectrum[frame, b].imag
            next_re, next_im = spectrum[frame + 1, b].real, spectrum[frame + 1, b].imag
            size = np.sqrt(re * re + im * im)
            next_size = np.sqrt(next_re * next_re + next_im * next_im)
            if size < quiet:
                re, im, size = quiet, zero, quiet
            gain = one - fraction + fraction * (next_size / size)
            c_re, c_im = gathered[b].real, gathered[b].imag
            played[step, b] = complex((re * c_re - im * c_im) * gain, (re * c_im + im * c_re) * gain)


@_compiled
def overlap_add(frames: NDArray[np.float32], window: NDArray[np.float32], sound: NDArray[np.float32]) -> None:
    """Add windowed frames, float32 `[frames, n_fft]`, to `sound`, float32 `[blocks, hop]`, each a block later."""
    hop = sound.shape[1]
    for frame in range(frames.shape[0]):
        for quarter in range(frames.shape[1] // hop):
            for place in range(hop):
                sample = quarter * hop + place
                sound[frame + quarter, place] += frames[frame, sample] * window[sample]
