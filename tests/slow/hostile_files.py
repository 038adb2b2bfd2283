"""What the makers of hostile sound files begin with: harmless ones, and numbers that lie."""

import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import soundfile
from numpy.random import Generator, default_rng

RATE = 22050
RATES = (0, 1, 2, 3_999, 4_000, 8_000, 44_100, 192_000, 192_001, 655_350, 2**20 - 1, 2**31 - 1, 2**31, 2**32 - 1)
LENGTHS = (0, 1, 7, 2**16, 0x7F000000, 0x7FFFF000, 2**31 - 1, 2**31, 2**32 - 9, 2**32 - 8, 2**32 - 2, 2**32 - 1)


def pick(rng: Generator, options: Sequence[Any]) -> Any:
    """Return one of `options`; `Generator.choice` would make an array of them."""
    return options[rng.integers(len(options))]


@cache
def harmless(format: str, subtype: str | None = None, seconds: float = 0.5, channels: int = 1) -> bytes:
    """Return a harmless recording: a chord with a little noise, at 22,050 Hz; Opus knows only 24,000."""
    moments = np.arange(round(RATE * seconds)) / RATE
    tones = sum(np.sin(2 * np.pi * hertz * moments) for hertz in (140, 330, 905))
    chord = 0.2 * tones[:, None] + default_rng(0).normal(scale=0.01, size=(len(moments), channels))
    return encoded(chord.astype(np.float32), 24_000 if subtype == "OPUS" else RATE, format, subtype)


def encoded(samples: np.ndarray, rate: int, format: str, subtype: str | None) -> bytes:
    """Return [samples, channels] as a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()
