"""Harmless sounds to be spoilt, and the numbers that headers lie with."""

import io
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray

RATE = 22050
RATES = (0, 1, 2, 3_999, 4_000, 8_000, 44_100, 192_000, 192_001, 655_350, 2**20 - 1, 2**31 - 1, 2**31, 2**32 - 1)
LENGTHS = (0, 1, 7, 2**16, 2**31 - 1, 2**31, 2**32 - 9, 2**32 - 8, 2**32 - 2, 2**32 - 1)

Option = TypeVar("Option")


def pick(rng: Generator, options: Sequence[Option]) -> Option:
    """Return one of `options`, of whatever type they are."""
    return options[rng.integers(len(options))]


@cache
def chord(seconds: float, channels: int) -> NDArray[np.float32]:
    moments = np.arange(round(RATE * seconds)) / RATE
    tones = sum(np.sin(2 * np.pi * hertz * moments) for hertz in (140, 330, 905))
    noise = np.random.default_rng(0).normal(scale=0.01, size=(len(moments), channels))
    return (0.2 * tones[:, None] + noise).astype(np.float32)


def sound_bytes(*, format: str, subtype: str | None = None, seconds: float = 0.5, channels: int = 1) -> bytes:
    """Return a harmless recording: a chord with a little noise, at 22,050 Hz; Opus knows only 24,000."""
    file = io.BytesIO()
    rate = 24_000 if subtype == "OPUS" else RATE
    soundfile.write(file, chord(seconds, channels), rate, format=format, subtype=subtype)
    return file.getvalue()
