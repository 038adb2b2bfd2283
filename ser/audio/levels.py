"""What goes through as a recording is read: its length, its levels, and the mean of its channels."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ser.errors import AudioError

MAX_PEAK = 2.0**31
"""What 32-bit whole numbers saved as floats reach; the powers of much larger values overflow in the features."""
_FULL_SCALE = 0.999
_NOTABLE_FRACTION = 1e-3
_BLOCK_FRAMES = 1 << 17
_LARGEST_MEAN = 0.005
"""Fraction of the peak. A larger mean is an offset of the microphone, and is taken off. RAVDESS has up to 0.0033, which
stays: chroma and contrast of near silence would be others without it.
"""
_REAL = ("FLOAT", "DOUBLE")
_16_BIT = 2.0**15


class Decoder(Protocol):
    """A `soundfile.SoundFile`, or what is read like one."""

    samplerate: int
    channels: int
    subtype: str

    def read(self, frames: int, *, dtype: str, always_2d: bool) -> NDArray[np.float32]:
        """Return the next samples, float32 [at most `frames`, channels]; none at the end."""


class Levels:
    """What went through `mono_blocks`, of all channels.

    Attributes
    ----------
    frames : how many.
    scale : what the waveform is to be multiplied by: 1, or 2**-15 where the samples are surely 16-bit whole numbers
        that a program saved as floats: all are whole, and their peak lies between 2 and 2**15. Larger whole numbers may
        be of 24 bits or of 32, so they stay.
    """

    def __init__(self, *, is_real: bool) -> None:
        """Take whether the samples are stored as floating point, which has values beyond its full scale of 1.0."""
        self._is_real, self.frames = is_real, 0
        self._n_samples = self._n_full = self._n_beyond = self._n_full_16 = 0
        self._peak, self._are_whole = 0.0, is_real

    def add(self, block: NDArray[np.float32], name: str) -> None:
        """Count float32 [frames, channels].

        Raises
        ------
        AudioError : a value is not finite, or beyond `MAX_PEAK`; it names the recording.
        """
        if not np.isfinite(block).all():
            raise AudioError(f"{name} holds values that are not numbers (NaN or infinity); export it again.")
        magnitude = np.abs(block)
        peak = float(magnitude.max())
        if peak > MAX_PEAK:
            raise AudioError(f"{name} reaches {peak:.0e} times full scale; export it again.")
        self._peak = max(self._peak, peak)
        self._n_samples += block.size
        self._n_full += int(np.count_nonzero(magnitude >= _FULL_SCALE))
        if peak > 1:
            self._n_beyond += int(np.count_nonzero(magnitude > 1))
            self._n_full_16 += int(np.count_nonzero(magnitude >= _FULL_SCALE * _16_BIT))
        self._are_whole = self._are_whole and bool((block == np.rint(block)).all())

    @property
    def scale(self) -> np.float32:
        return np.float32(1 / _16_BIT if self._are_whole and 2 <= self._peak <= _16_BIT else 1)

    @property
    def clipped(self) -> bool:
        """Whether more than one in a thousand samples are at full scale; of floats, not those that are beyond it."""
        n_full = self._n_full - self._n_beyond if self._is_real else self._n_full
        return self._is_notable(n_full if self.scale == 1 else self._n_full_16)

    @property
    def beyond_full_scale(self) -> bool:
        """Whether more than one in a thousand samples of floating point are beyond full scale."""
        return self._is_real and self.scale == 1 and self._is_notable(self._n_beyond)

    def _is_notable(self, count: int) -> bool:
        return count > _NOTABLE_FRACTION * self._n_samples


def levels_for(file: Decoder) -> Levels:
    """Return the levels of a recording of which nothing is read yet."""
    return Levels(is_real=file.subtype in _REAL)


def mono_blocks(file: Decoder, levels: Levels, *, name: str, max_seconds: float) -> Iterator[NDArray[np.float32]]:
    """Yield the mean of the channels, float32 [samples], a block at a time.

    A header may claim any length, and ten minutes in eight channels at 192 kHz would be 3.7 GB.

    Raises
    ------
    AudioError : the recording lasts longer than `max_seconds`, or as `Levels.add`.
    """
    limit = int(max_seconds * file.samplerate)
    while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        levels.frames += len(block)
        if levels.frames > limit:
            raise AudioError(f"{name} lasts longer than {max_seconds:.0f} s; cut it into shorter recordings.")
        levels.add(block, name)
        yield block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else block[:, 0]


def without_offset(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [samples] with its mean taken off, where that is an offset worth the name."""
    mean = waveform.mean(dtype=np.float64)
    return waveform - np.float32(mean) if abs(mean) > _LARGEST_MEAN * np.abs(waveform).max() else waveform
