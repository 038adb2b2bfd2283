"""What is done to a waveform before its features: silence around the voice goes, and the voice gets one loudness."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser.features.extract import FeatureSettings

_LOUD, _TYPICAL, _FLOOR = 98, 90, 10
"""Percentiles of the blocks' levels: a recording's loudest sound, its voice, and the noise behind it."""
_BELOW_LOUD_DB = 40.0
_ABOVE_FLOOR_DB = 6.0
_LEAST_BELOW_LOUD_DB = 15.0
_MARGIN_SECONDS = 0.1
_SILENCE = 1e-10


@dataclass(frozen=True, kw_only=True)
class Trimmed:
    """A waveform ready for its features.

    Attributes
    ----------
    waveform : float32 [samples].
    start : the place of its first sample in the waveform that it was cut from.
    """

    waveform: NDArray[np.float32]
    start: int


def trim_and_level(waveform: NDArray[np.float32], settings: FeatureSettings) -> Trimmed:
    """Cut off the silence at both ends and bring the voice to one level, where the settings ask for it.

    Training and use call this alike, so that neither a microphone's gain nor a pause before the first word is news to
    the network. Where a sound is silent throughout, nothing is changed.

    Parameters
    ----------
    waveform : float32 [samples], at `settings.sample_rate`.
    """
    if not settings.trim and settings.level_db is None:
        return Trimmed(waveform=waveform, start=0)
    block = settings.hop_length
    n_blocks = len(waveform) // block
    if n_blocks == 0:
        return Trimmed(waveform=waveform, start=0)
    blocks = waveform[: n_blocks * block].reshape(n_blocks, block)
    levels = 10 * np.log10(np.square(blocks, dtype=np.float64).mean(axis=1) + _SILENCE)
    start, stop = (0, n_blocks) if not settings.trim else _voiced(levels, margin=_margin(settings))
    kept = waveform[start * block : stop * block if settings.trim else None]
    if settings.level_db is not None:
        typical = np.percentile(levels[start:stop], _TYPICAL)
        kept = kept * np.float32(10 ** ((settings.level_db - typical) / 20))
    return Trimmed(waveform=kept, start=start * block)


def _margin(settings: FeatureSettings) -> int:
    return round(_MARGIN_SECONDS * settings.sample_rate / settings.hop_length)


def _voiced(levels: NDArray[np.float64], *, margin: int) -> tuple[int, int]:
    """Return the first block and the one after the last of what is not silence, given levels in dB [blocks].

    Silence lies 40 dB below the loudest sound; or, with noise in the room, no more than 6 dB above the level that a
    tenth of the blocks stay under, as long as that is 15 dB below the loudest.
    """
    loud, floor = np.percentile(levels, (_LOUD, _FLOOR))
    threshold = max(loud - _BELOW_LOUD_DB, min(floor + _ABOVE_FLOOR_DB, loud - _LEAST_BELOW_LOUD_DB))
    above = np.flatnonzero(levels > threshold)
    return max(int(above[0]) - margin, 0), min(int(above[-1]) + 1 + margin, len(levels))
