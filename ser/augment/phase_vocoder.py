"""Time stretch and pitch shift by a phase vocoder that needs no angles.

A vocoder (Flanagan and Golden 1966) plays the frames of a short-time Fourier transform at another rate: it
interpolates magnitudes between neighbouring frames, and lets the phase of each bin advance from one frame to the next
as it advances in the recording. Only the phase modulo a turn matters, so the advance from frame i to i + 1 is the
product of one unit phasor and another's conjugate, u[i + 1] conj(u[i]). As long as the frames played are neighbours,
those products telescope: with C for what has gathered so far, frame i is played as C u[i], and C changes only where the
next frame played is not i + 1 but j, a repeated or a later one: then it becomes C u[i + 1] conj(u[j]). Rounding
therefore gathers over those few frames only, so little that C needs no renormalising.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import soxr
from numpy.typing import NDArray

from ser.features._stft import count_frames, hann_window, padded_waveform
from ser.features.compiled import load_compiled
from ser.features.extract import fit_length

N_FFT = 2048
HOP_LENGTH = 512
_OVERLAP = N_FFT // HOP_LENGTH
_STEPS_AT_ONCE = 64
"""How many steps are worked on together: few enough for the processor's cache."""


def time_stretch(waveform: NDArray[np.float32], *, rate: float) -> NDArray[np.float32]:
    """Return the waveform played `rate` times as fast at the same pitch (`librosa.effects.time_stretch`).

    It is float32 `[round(samples / rate)]`. The transforms are in double precision and then rounded, because the phases
    of some stay in C until the end, and in single precision those of quiet bins are rough. What follows is in single.

    Parameters
    ----------
    waveform : float32 `[samples]`, one or more, finite.
    rate : above 0; over 1 shortens.

    Raises
    ------
    ValueError : the rate is not above 0.
    """
    from ser.augment._phase_vocoder_kernels import overlap_add  # slow to import, and only augmentation needs it
    from ser.features._fft_kernels import twiddles

    load_compiled()  # numba is imported now, and the features that follow gain by it, too
    if not rate > 0:
        raise ValueError(f"The rate is {rate}, but should be above 0.")
    length = round(len(waveform) / rate)
    n_steps = -(-(length + N_FFT) // HOP_LENGTH)
    steps = np.arange(0, count_frames(len(waveform), hop_length=HOP_LENGTH), rate)[:n_steps]
    sound = np.zeros((len(steps) + _OVERLAP - 1, HOP_LENGTH), dtype=np.float32)
    window, fractions = _synthesis_windows()
    table = twiddles(N_FFT).astype(np.float32)
    for start, spectrum in _spectra_at(steps, waveform):
        values = spectrum.reshape(-1).view(np.float32)
        overlap_add(values, window / np.float32(N_FFT), table, HOP_LENGTH, sound[start:].reshape(-1))
    # Fewer windows than elsewhere lie on the first and last blocks, which are scaled up accordingly.
    for block in {*range(_OVERLAP - 1), *range(len(steps), len(sound))}:
        fraction = fractions[max(block - len(steps) + 1, 0) : block + 1].sum(axis=0)
        np.divide(sound[block], fraction, out=sound[block], where=fraction > np.finfo(np.float32).tiny)
    return _cut_or_padded(sound.reshape(-1)[N_FFT // 2 :], length)


def pitch_shift(waveform: NDArray[np.float32], *, semitones: float, sample_rate: int) -> NDArray[np.float32]:
    """Return the waveform `semitones` higher at the same rate, float32 `[samples]` (`librosa.effects.pitch_shift`).

    It is stretched by 2^(-semitones / 12) and resampled back to its length (soxr, high quality).

    Parameters
    ----------
    waveform : float32 `[samples]`, one or more, finite, at `sample_rate`.
    """
    rate = 2.0 ** (-semitones / 12)
    shifted = soxr.resample(time_stretch(waveform, rate=rate), sample_rate / rate, sample_rate, quality="HQ")
    return _cut_or_padded(shifted, len(waveform))


def _cut_or_padded(sound: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    return sound[:length] if len(sound) >= length else fit_length(sound, length)  # mostly no copy


def _spectra_at(
    steps: NDArray[np.float64], waveform: NDArray[np.float32]
) -> Iterator[tuple[int, NDArray[np.complex64]]]:
    """Yield the spectrum at `steps` (in frames of the waveform, rising), some at a time, with the place of the first.

    It is good until the next is asked for. In the terms of the module's docstring, `played` is j, `due` is i + 1 and
    `gathered` is C.
    """
    from ser.augment._phase_vocoder_kernels import play  # see `time_stretch`
    from ser.features._fft_kernels import complex_spectra, twiddles
    from ser.features._vectors import LANES

    padded = padded_waveform(waveform, n_fft=N_FFT, spare=(LANES - 1) * HOP_LENGTH)
    n_frames, window, table = count_frames(len(waveform), hop_length=HOP_LENGTH), hann_window(N_FFT), twiddles(N_FFT)
    played = steps.astype(np.intp)
    weight = (steps - played).astype(np.float32)
    due = np.concatenate(([0], played[:-1] + 1))
    turns = [(start, min(start + _STEPS_AT_ONCE, len(steps))) for start in range(0, len(steps), _STEPS_AT_ONCE)]
    gathered = np.ones(1 + N_FFT // 2, dtype=np.complex64)
    # Fresh memory would cost as much as the arithmetic: so all turns share these.
    most = max(played[stop - 1] - min(played[start], due[start]) for start, stop in turns)
    buffer = np.empty((most + 2, 1 + N_FFT // 2), dtype=np.complex64)
    stretched = np.empty((min(_STEPS_AT_ONCE, len(steps)), 1 + N_FFT // 2), dtype=np.complex64)
    for start, stop in turns:
        here = slice(start, stop)
        first = min(played[start], due[start])
        now, expected = played[here] - first, due[here] - first
        spectrum = buffer[: now[-1] + 2]
        spectrum[n_frames - first :] = 0  # a frame beyond the last is silent
        known = spectrum[: n_frames - first].reshape(-1).view(np.float32)
        complex_spectra(padded[first * HOP_LENGTH :], HOP_LENGTH, window, table, known)
        play(spectrum, now, expected, weight[here], gathered, stretched)
        yield start, stretched[: len(now)]


@lru_cache(maxsize=1)
def _synthesis_windows() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the window over the sum of the squared windows that overlap, and each square as a fraction of that sum.

    They are float32 `[N_FFT]` and `[_OVERLAP, HOP_LENGTH]`; a place's fractions sum to 1 where all windows lie on it.
    """
    window = hann_window(N_FFT).reshape(_OVERLAP, HOP_LENGTH)
    total = np.square(window).sum(axis=0)
    return (window / total).reshape(-1).astype(np.float32), (np.square(window) / total).astype(np.float32)
