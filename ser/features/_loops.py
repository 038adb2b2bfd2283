"""Loops of single groups, compiled by numba: to the bit what numpy's passes over memory give, several times as fast."""

from typing import Any

import numba
import numpy as np

from ser.features._fft_kernels import compiled
from ser.features._vectors import LANES as LANES
from ser.features._vectors import double, larger, load, root, smaller, splat, store, summits, transpose

_ALL = (0, 1, 2, 3, 4, 5, 6, 7)
_AT_ONCE = 4


@compiled
def count_crossings(waveform: Any, threshold: np.float32, edges: Any, counts: Any) -> None:
    """Fill `counts`, int64 `[edges]`: the samples before each edge that lie on the other side than the one before them.

    Parameters
    ----------
    waveform : float32 `[samples]`.
    threshold : what the sides are of.
    edges : int64 `[edges]`, rising; they may lie beyond both ends.
    """
    before, after = waveform[:-1], waveform[1:]
    total: Any = 0
    place: Any = 0
    for edge in range(len(edges)):
        stop = min(edges[edge] - 1, len(after))
        for sample in range(np.uintp(place), np.uintp(max(place, stop))):  # an index without a sign needs no checks
            total += int((before[sample] < threshold) != (after[sample] < threshold))
        place = max(place, stop)
        counts[edge] = total


@compiled
def find_peaks(power: Any, start: int, stop: int, threshold: np.float32, places: Any) -> int:
    """Put the places, in the flattened power, of bins above the last and not below the next into `places`; count them.

    Parameters
    ----------
    power : float32 `[frames, bins]`.
    start, stop : of the bins that are searched; one lies before, and one behind.
    threshold : fraction of a frame's largest power that a peak is above.
    places : int64 `[frames * (stop - start)]`.
    """
    n_found, best = 0, np.empty(LANES, dtype=np.float32)
    for frame in range(len(power)):
        row = power[frame]
        n_whole = len(row) // LANES * LANES
        most = splat(np.float32(0))
        for bin in range(0, n_whole, LANES):
            most = larger(most, load(row, bin))
        peak = np.float32(0)
        for lane in range(len(row) - n_whole):
            peak = max(peak, row[n_whole + lane])
        store(best, 0, most)
        for lane in range(LANES):
            peak = max(peak, best[lane])
        least = threshold * peak
        n_vectors = (stop - start) // LANES
        for block in range(n_vectors + 1):
            bin = start + block * LANES
            found = (1 << LANES) - 1 if block == n_vectors else summits(row, bin, least)
            for lane in range(min(LANES, stop - bin) if found else 0):
                at = bin + lane
                if found >> lane & 1 and row[at] > least and row[at] > row[at - 1] and row[at] >= row[at + 1]:
                    places[n_found] = frame * len(row) + at
                    n_found += 1
    return n_found


@compiled
def average_extremes(power: Any, bands: Any, peaks: Any, valleys: Any) -> None:
    """Fill in the mean magnitude of the largest and of the smallest bins of each band and frame.

    Parameters
    ----------
    power : float32 `[frames, bins]`.
    bands : int64 `[bands, 3]`: a band's first bin, the one behind its last, and how many make a peak or a valley.
    peaks, valleys : float64 `[bands, frames]`, the frames a multiple of `LANES`; they are filled.
    """
    n_frames, n_bins = power.shape
    flat, peaks, valleys, n_columns = power.reshape(-1), peaks.reshape(-1), valleys.reshape(-1), peaks.shape[1]
    tile, left = np.empty((2, n_bins * LANES), dtype=np.float32)
    found = np.empty((bands[:, 2].max() + _AT_ONCE) * LANES, dtype=np.float32)
    nothing = splat(np.float32(0))
    for first in range(0, n_frames, LANES):
        _gather(flat, n_frames, n_bins, first, tile)
        for band in range(len(bands)):
            start, stop, size = bands[band, 0] * LANES, bands[band, 1] * LANES, bands[band, 2]
            for place in range(start, stop, LANES):
                store(left, place, load(tile, place))
            _find_largest(left, start, stop, size, found)
            top = root(load(found, (size - 1) * LANES))  # in rising order, as numpy sums
            for place in range(size - 2, -1, -1):
                top = top + root(load(found, place * LANES))
            for place in range(start, stop, LANES):
                store(left, place, nothing - load(tile, place))
            _find_largest(left, start, stop, size, found)
            bottom = root(nothing - load(found, 0))
            for place in range(1, size):
                bottom = bottom + root(nothing - load(found, place * LANES))
            store(peaks, band * n_columns + first, double(top / np.float32(size)))
            store(valleys, band * n_columns + first, double(bottom / np.float32(size)))


@compiled
def _find_largest(values: Any, start: int, stop: int, size: int, found: Any) -> None:
    """Put the largest `size` of each lane into `found`, falling; what is left of `values` is not in order any more.

    The values pass by as often as needed, and those found stay in registers meanwhile: in memory they took five times
    as long.
    """
    for place in range(0, size * LANES, _AT_ONCE * LANES):
        first = second = third = fourth = splat(np.float32(-np.inf))
        for at in range(start, stop, LANES):  # each takes what the one before leaves
            value = load(values, at)
            first, value = larger(first, value), smaller(first, value)
            second, value = larger(second, value), smaller(second, value)
            third, value = larger(third, value), smaller(third, value)
            fourth, value = larger(fourth, value), smaller(fourth, value)
            store(values, at, value)
        store(found, place, first)
        store(found, place + LANES, second)
        store(found, place + 2 * LANES, third)
        store(found, place + 3 * LANES, fourth)


@compiled
def _gather(flat: Any, n_frames: int, n_bins: int, first: int, tile: Any) -> None:
    """Put eight frames, or the last one in place of those that lack, into the lanes of `tile`, `[bins, LANES]`."""
    p0, last = first * n_bins, (n_frames - 1) * n_bins
    p1, p2, p3 = min(p0 + n_bins, last), min(p0 + 2 * n_bins, last), min(p0 + 3 * n_bins, last)
    p4, p5, p6 = min(p0 + 4 * n_bins, last), min(p0 + 5 * n_bins, last), min(p0 + 6 * n_bins, last)
    p7 = min(p0 + 7 * n_bins, last)
    n_whole = n_bins // LANES * LANES
    for bin in range(0, n_whole, LANES):
        columns = transpose(
            (
                load(flat, p0 + bin),
                load(flat, p1 + bin),
                load(flat, p2 + bin),
                load(flat, p3 + bin),
                load(flat, p4 + bin),
                load(flat, p5 + bin),
                load(flat, p6 + bin),
                load(flat, p7 + bin),
            )
        )
        for row in numba.literal_unroll(_ALL):
            store(tile, (bin + row) * LANES, columns[row])
    for lane in range(LANES):
        for bin in range(n_whole, n_bins):
            tile[bin * LANES + lane] = flat[min(p0 + lane * n_bins, last) + bin]


@compiled
def weigh_windows(values: Any, weights: Any, sums: Any) -> None:
    """Fill in the weighted sums over neighbouring frames.

    Parameters
    ----------
    values : float64 `[rows, frames]`.
    weights : float64 `[places, kinds]`.
    sums : float64 `[kinds, rows, frames - places + 1]`; it is filled.
    """
    for kind in range(sums.shape[0]):
        for row in range(sums.shape[1]):
            for frame in range(sums.shape[2]):
                total = 0.0
                for place in range(len(weights)):
                    total += weights[place, kind] * values[row, frame + place]
                sums[kind, row, frame] = total


@compiled
def find_smoothest(strength: Any, cost: Any, path: Any) -> None:
    """Fill in the path with the largest sum of strengths less the costs of its steps; of equal ones, the lowest places.

    Parameters
    ----------
    strength : float32 `[frames, candidates]`.
    cost : float32 `[2 * candidates - 2 + LANES]`, of steps from `1 - candidates` on; the last `LANES - 1` are not used.
    path : int64 `[frames]`; it is filled.
    """
    n_frames, n_candidates = strength.shape
    n_vectors = (n_candidates + LANES - 1) // LANES
    best, most = np.empty((n_frames, n_candidates), dtype=np.float32), np.empty(n_vectors * LANES, dtype=np.float32)
    best[0] = strength[0]
    for frame in range(1, n_frames):
        for vector in range(0, n_vectors * LANES, LANES):
            reached = splat(np.float32(-np.inf))
            for place in range(n_candidates):
                step = load(cost, vector - place + n_candidates - 1)
                reached = larger(reached, splat(best[frame - 1, place]) - step)
            store(most, vector, reached)
        for place in range(n_candidates):
            best[frame, place] = most[place] + strength[frame, place]
    path[n_frames - 1] = best[n_frames - 1].argmax()
    for frame in range(n_frames - 1, 0, -1):
        came_from, reached_most = 0, np.float32(-np.inf)
        for place in range(n_candidates):
            reached_here = best[frame - 1, place] - cost[path[frame] - place + n_candidates - 1]
            if reached_here > reached_most:
                came_from, reached_most = place, reached_here
        path[frame - 1] = came_from
