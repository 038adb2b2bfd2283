"""What is done to a waveform before its features: trimming of silence at both ends, and level normalisation."""

import numpy as np
from numpy.typing import NDArray

_LOUD, _TYPICAL, _FLOOR = 98, 90, 10
"""Percentiles of the blocks' levels: a recording's loudest sound, its voice, and the noise behind it."""
_BELOW_LOUD_DB = 40.0
_ABOVE_FLOOR_DB = 6.0
_LEAST_BELOW_LOUD_DB = 15.0
_MARGIN_SECONDS = 0.1
_SILENCE = 1e-10


def trim_and_level(
    waveform: NDArray[np.float32], *, sample_rate: int, block_length: int, trim: bool, level_db: float | None
) -> tuple[NDArray[np.float32], int]:
    """Cut off the silence at both ends and bring the voice to one level, each only where asked for.

    Training and inference both call this, so that neither a microphone's gain nor a pause before the first word is new
    to the network. A waveform that is silent throughout keeps its length.

    Parameters
    ----------
    waveform : float32 [samples].
    sample_rate : in Hz, 1 or more.
    block_length : samples over which a level is measured, 1 or more; a shorter waveform is returned unchanged.
    trim : whether silence is cut off, down to a margin of 0.1 s.
    level_db : level that the voice (90th percentile of the blocks' levels) is brought to, in dB below full scale, 0 or
        less; None: no change.

    Returns
    -------
    waveform : float32 [samples'].
    start : index of its first sample in the waveform that it was cut from.
    """
    n_blocks = len(waveform) // block_length
    if n_blocks == 0 or (not trim and level_db is None):
        return waveform, 0
    blocks = waveform[: n_blocks * block_length].reshape(n_blocks, block_length)
    levels = 10 * np.log10(np.square(blocks, dtype=np.float64).mean(axis=1) + _SILENCE)  # dB [blocks]
    start, stop = 0, n_blocks
    kept = waveform
    if trim:
        start, stop = _voiced(levels, margin=round(_MARGIN_SECONDS * sample_rate / block_length))
        kept = waveform[start * block_length : stop * block_length]
    if level_db is not None:
        typical = np.percentile(levels[start:stop], _TYPICAL)
        kept = kept * np.float32(10 ** ((level_db - typical) / 20))
    return kept, start * block_length


def _voiced(levels: NDArray[np.float64], *, margin: int) -> tuple[int, int]:
    """Return the first block and the one after the last of what is not silence, given levels in dB [blocks].

    Silence lies 40 dB below the loudest sound; or, with noise in the room, no more than 6 dB above the level that a
    tenth of the blocks stay under, as long as that is 15 dB below the loudest.
    """
    loud, floor = np.percentile(levels, (_LOUD, _FLOOR))
    threshold = max(loud - _BELOW_LOUD_DB, min(floor + _ABOVE_FLOOR_DB, loud - _LEAST_BELOW_LOUD_DB))
    above = np.flatnonzero(levels > threshold)
    return max(int(above[0]) - margin, 0), min(int(above[-1]) + 1 + margin, len(levels))
