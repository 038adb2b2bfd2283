"""The sound of a recording, which may be a part of its file."""

import numpy as np
from numpy.typing import NDArray

from ser.audio.io import MIN_SECONDS, SILENCE_PEAK, read_sound
from ser.corpora.manifest import Recording
from ser.errors import AudioError

_ROUNDING = 0.05
"""Seconds that `end` may lie behind the end of the file: tables round, and some formats hold a little less."""


def read_recording(recording: Recording, *, sample_rate: int) -> NDArray[np.float32]:
    """Return the waveform, float32 [samples] at `sample_rate` Hz, cut at the samples next to `start` and `end`.

    Raises
    ------
    AudioError : as `ser.audio.io.read_sound`; or `start` or `end` lies behind the end of the file, or the part is
        shorter than 0.2 s or silent. The message names the file and the seconds.
    """
    waveform = read_sound(recording.path, sample_rate=sample_rate).waveform
    if not recording.is_cut:
        return waveform
    start, seconds = recording.start or 0.0, len(waveform) / sample_rate
    end = seconds if recording.end is None else recording.end
    name = f"{recording.path}, {start:g} to {end:g} s,"
    if start >= seconds or end > seconds + _ROUNDING:
        raise AudioError(f"{name} ends behind the end of the file ({seconds:.2f} s); correct start and end.")
    part = waveform[round(start * sample_rate) : round(end * sample_rate)]
    if len(part) < MIN_SECONDS * sample_rate:
        raise AudioError(f"{name} lasts {len(part) / sample_rate:.2f} s; at least {MIN_SECONDS} s are needed.")
    if max(part.max(), -part.min()) < SILENCE_PEAK:
        raise AudioError(f"{name} is silent (its peak is below {SILENCE_PEAK:g} of full scale).")
    return part
