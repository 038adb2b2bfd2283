"""Recordings for a person to listen to: at one level, and short enough for a page."""

import io
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ser.audio.io import read_sound

CLIP_RATE = 22050
"""Hz; MP3 knows few rates, and this is one of them."""
_SECONDS = 10.0
_RMS = 10 ** (-20 / 20)
_PEAK = 0.99


def read_clip(path: Path) -> NDArray[np.float32]:
    """Return the first ten seconds of a recording at most, float32 [samples] at `CLIP_RATE`, at an RMS of -20 dBFS.

    Corpora are recorded at levels so far apart that one setting of the volume does not serve. Where the peak would
    exceed full scale, the level stays below.

    Raises
    ------
    AudioError : as `ser.audio.io.read_sound`.
    """
    waveform = read_sound(path, sample_rate=CLIP_RATE).waveform[: round(_SECONDS * CLIP_RATE)]
    rms = float(np.sqrt(np.square(waveform, dtype=np.float64).mean()))
    peak = float(np.abs(waveform).max())
    if not peak:  # the sound begins later
        return waveform
    return waveform * np.float32(min(_RMS / rms, _PEAK / peak))


def encode_clip(waveform: NDArray[np.float32]) -> tuple[str, bytes]:
    """Return the MIME type and the content of a file of float32 [samples] at `CLIP_RATE`.

    MP3, which every browser plays and which takes 5 kB a second; WAV where libsndfile was built without it.
    """
    file = io.BytesIO()
    kind = "mp3" if "MP3" in soundfile.available_formats() else "wav"
    soundfile.write(file, waveform, CLIP_RATE, format=kind)
    return {"mp3": "audio/mpeg", "wav": "audio/wav"}[kind], file.getvalue()
