"""Whether this process extracts features by loops that numba compiles: the same numbers in half the time.

numba takes 0.6 s until the first of them runs, and on a machine where nothing is on disk yet 10 s more to compile. So a
process that has many recordings before it says so, and others go on with numpy.
"""

from contextlib import suppress
from functools import cache
from importlib import import_module
from types import ModuleType

import numpy as np

MANY_RECORDINGS = 1000
"""From as many on two processes gain by the loops, which save 2 ms of a recording of four seconds."""

_LOADED: list[ModuleType] = []


def load_compiled() -> None:
    """Import the compiled loops, which features then use in this process; without numba this does nothing."""
    if not _LOADED:
        with suppress(ImportError):
            modules = [import_module(f"ser.features.{name}") for name in ("_fft_kernels", "_loops")]
            _LOADED[:] = modules  # at once, as other threads may look


def compiled_loops() -> ModuleType | None:
    """Return the compiled loops of single groups, whose results are numpy's on any machine; None if not loaded."""
    return _LOADED[1] if _LOADED else None


def fft_kernels(n_fft: int) -> ModuleType | None:
    """Return the compiled Fourier transform of frames of this length; None where numpy's own is to be used.

    That is where it was not loaded, does not know the length, or differs from numpy's in any bit on this machine: then
    a recording's features would depend on how many came before it.
    """
    return _LOADED[0] if _LOADED and _LOADED[0].fits(n_fft) and _equals_numpy(n_fft) else None


@cache
def _equals_numpy(n_fft: int) -> bool:
    from ser.features import _stft  # which imports this module

    noise = np.random.default_rng(0).normal(size=8 * n_fft).astype(np.float32)
    # Of waves that fit into a frame most bins are nothing but rounding errors, which single precision does not hide.
    waves = [np.tile(np.repeat(np.array([1, -1], dtype=np.float32), n_fft // 2**k), 2**k) for k in (1, 4)]
    sound, sizes = np.concatenate((noise, *waves)), {"n_fft": n_fft, "hop_length": n_fft // 4}
    if not np.array_equal(_stft.by_kernels(_LOADED[0], sound, **sizes), _stft.by_numpy(sound, **sizes)):
        return False
    # Single precision does hide the last bit of a sine; but a click's spectrum is sines as numpy has them.
    clicks = np.fft.rfft(np.eye(7, n_fft)[[1, 6]], axis=1).conj()
    circle = _LOADED[0].twiddles(n_fft).view(np.complex128)
    every, sixth = circle[: n_fft // 4], circle[: 3 * n_fft // 8 : 6]  # all that are used
    return np.array_equal(clicks[0, : len(every)], every) and np.array_equal(clicks[1, : len(sixth)], sixth)
