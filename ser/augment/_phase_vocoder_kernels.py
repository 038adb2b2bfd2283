"""The inner loops of the phase vocoder, compiled: each value is read once, where numpy would go over memory ten times.

They are compiled at their first use (some seconds), and kept beside this file or in the user's cache folder.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ser.features._fft_kernels import compiled
from ser.features._vectors import LANES, load, store, transpose

QUIET = np.float32(1e-18)
"""Below this magnitude a phase is noise; products and quotients of larger ones stay in single precision's range."""


_ALL = (0, 1, 2, 3, 4, 5, 6, 7)
_ROOT = np.float32(np.sqrt(2))


@compiled
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


@compiled
def overlap_add(spectra: Any, window: Any, table: Any, hop: int, sound: Any) -> None:
    """Transform frames back, eight at once, and add them to `sound`, each a hop later.

    Their passes are those of `ser.features._fft_kernels`, backwards, in single precision.

    Parameters
    ----------
    spectra : float32 `[frames * (n_fft + 2)]`: real and imaginary parts by turns.
    window : float32 `[n_fft]`, over n_fft.
    table : float32, `twiddles(n_fft)`.
    sound : float32 `[(frames - 1) * hop + n_fft]`, or more.
    """
    n = len(window)
    n_rows, eighth = n + 2, n // 8 * LANES
    n_frames = len(spectra) // n_rows
    whole, halves, eighths = np.empty((3, n * LANES), dtype=np.float32)
    a, b = np.empty((2, eighth), dtype=np.float32)
    for first in range(0, n_frames, LANES):
        _gather(spectra, n_rows, first, n_frames - 1, whole)
        _backward_two(whole, halves, n // 2 * LANES, table)
        for half in range(2):
            _backward_four(halves, half * 4 * eighth, eighths, half * 4 * eighth, n // 8, 1, table)
        for each in range(8):
            _backward_four(eighths, each * eighth, a, 0, n // 32, 1, table)
            done, spare, length = a, b, n // 32
            while length > 4:
                length //= 4
                _backward_four(done, 0, spare, 0, length, n // 32 // length, table)
                done, spare = spare, done
            # In the places of `halves`, which is free by now: the samples each, each + 8, ...
            _backward_four(done, 0, halves, (each % 4 * 2 + each // 4) * eighth, 1, n // 32, table)
        for place in range(0, n, 8):
            p = place // 8 * LANES
            rows = transpose(
                (
                    load(halves, p) * window[place],
                    load(halves, p + eighth) * window[place + 1],
                    load(halves, p + 2 * eighth) * window[place + 2],
                    load(halves, p + 3 * eighth) * window[place + 3],
                    load(halves, p + 4 * eighth) * window[place + 4],
                    load(halves, p + 5 * eighth) * window[place + 5],
                    load(halves, p + 6 * eighth) * window[place + 6],
                    load(halves, p + 7 * eighth) * window[place + 7],
                )
            )
            for lane in numba.literal_unroll(_ALL):
                if first + lane < n_frames:
                    at = (first + lane) * hop + place
                    store(sound, at, load(sound, at) + rows[lane])


@compiled
def _gather(spectra: Any, n_rows: int, first: int, last: int, whole: Any) -> None:
    """Put eight frames from `first` on into the lanes of `whole`; the frame `last` in place of those behind it."""
    n = n_rows - 2
    p0, p1 = min(first, last) * n_rows, min(first + 1, last) * n_rows
    p2, p3 = min(first + 2, last) * n_rows, min(first + 3, last) * n_rows
    p4, p5 = min(first + 4, last) * n_rows, min(first + 5, last) * n_rows
    p6, p7 = min(first + 6, last) * n_rows, min(first + 7, last) * n_rows
    for place in range(0, n, 8):
        at = place + 1  # the imaginary part of bin 0 has no place
        columns = transpose(
            (
                load(spectra, p0 + at),
                load(spectra, p1 + at),
                load(spectra, p2 + at),
                load(spectra, p3 + at),
                load(spectra, p4 + at),
                load(spectra, p5 + at),
                load(spectra, p6 + at),
                load(spectra, p7 + at),
            )
        )
        for row in numba.literal_unroll(_ALL):
            store(whole, (place + row) * LANES, columns[row])
    for lane in range(LANES):
        whole[lane] = spectra[min(first + lane, last) * n_rows]


@compiled
def _backward_two(source: Any, target: Any, half: int, table: Any) -> None:
    """Part a transform into those of the even samples and of the odd ones."""
    first, last = load(source, 0), load(source, 2 * half - LANES)
    store(target, 0, first + last)
    store(target, half, first - last)
    for i in range(2, half // LANES, 2):
        p, g = i * LANES, 2 * half - i * LANES
        re1, im1, re2, im2 = load(source, p - LANES), load(source, p), load(source, g - LANES), load(source, g)
        store(target, p - LANES, re1 + re2)
        store(target, p, im1 - im2)
        _put_turned(target, half + p, re1 - re2, im1 + im2, table[i], table[i + 1])
    store(target, half - LANES, np.float32(2) * load(source, half - LANES))
    store(target, 2 * half - LANES, np.float32(-2) * load(source, half))


@compiled
def _backward_four(source: Any, at: int, target: Any, to: int, length: int, count: int, table: Any) -> None:
    """Part `count` transforms into four each, of `length` values; see `_pass_of_four` of the features."""
    one, two = length * LANES, np.float32(2)
    apart = count * one
    step = (len(table) - 2) // (4 * length)
    for each in range(count):
        p, h = at + 4 * each * one, to + each * one
        first, last = load(source, p), load(source, p + 4 * one - LANES)
        even, odd = first + last, first - last
        middle, cross = two * load(source, p + 2 * one - LANES), two * load(source, p + 2 * one)
        store(target, h, even + middle)
        store(target, h + apart, odd - cross)
        store(target, h + 2 * apart, even - middle)
        store(target, h + 3 * apart, odd + cross)
        if length == 1:
            continue
        for i in range(2, length, 2):
            j = step * i
            p, g = at + 4 * each * one + i * LANES, at + (4 * each + 2) * one - i * LANES
            h = to + each * one + i * LANES
            re1, im1 = load(source, p - LANES), load(source, p)
            re2, im2 = load(source, g - LANES), load(source, g)
            re3, im3 = load(source, p + 2 * one - LANES), load(source, p + 2 * one)
            re4, im4 = load(source, g + 2 * one - LANES), load(source, g + 2 * one)
            even_re, even_im, odd_re, odd_im = re1 + re4, im1 - im4, re1 - re4, im1 + im4
            sum_re, sum_im, gap_re, gap_im = re3 + re2, im3 - im2, re3 - re2, im3 + im2
            store(target, h - LANES, even_re + sum_re)
            store(target, h, even_im + sum_im)
            _put_turned(target, h + apart, odd_re - gap_im, odd_im + gap_re, table[j], table[j + 1])
            _put_turned(target, h + 2 * apart, even_re - sum_re, even_im - sum_im, table[2 * j], table[2 * j + 1])
            _put_turned(target, h + 3 * apart, odd_re + gap_im, odd_im - gap_re, table[3 * j], table[3 * j + 1])
        p, h = at + (4 * each + 1) * one - LANES, to + (each + 1) * one - LANES
        first, last = load(source, p), load(source, p + 2 * one)
        low, high = load(source, p + LANES), load(source, p + 2 * one + LANES)
        even, odd, even_im, odd_im = first + last, first - last, high - low, high + low
        store(target, h, two * even)
        store(target, h + apart, _ROOT * (odd - odd_im))
        store(target, h + 2 * apart, two * even_im)
        store(target, h + 3 * apart, -_ROOT * (odd + odd_im))


@compiled
def _put_turned(target: Any, at: int, re: Any, im: Any, cosine: np.float32, sine: np.float32) -> None:
    """Put a complex number, turned forward by an angle, where its imaginary part is at `at`."""
    store(target, at - LANES, cosine * re - sine * im)
    store(target, at, cosine * im + sine * re)
