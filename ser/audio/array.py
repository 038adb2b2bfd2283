"""Samples in an array, read as those of a sound file are."""

import numbers
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser.errors import AudioError

MAX_CHANNELS = 8
_SIGNED_BYTES = (1, 2, 4)


class ArraySound:
    """An array of samples in the place of a `soundfile.SoundFile`.

    Attributes
    ----------
    samplerate : Hz.
    channels : 1 to `MAX_CHANNELS`.
    subtype : "FLOAT" or "PCM", as a file of them has it.
    """

    def __init__(self, source: tuple[ArrayLike, float], name: str) -> None:
        """Take `(samples, rate)`.

        Parameters
        ----------
        source : the samples are floats of full scale 1.0, or int8, int16, int32 or uint8 of their own full scale, as
            [samples], [samples, channels] or [channels, samples]: the axis of at most `MAX_CHANNELS` is the channels.
        name : what to call the recording in messages.

        Raises
        ------
        AudioError : it is no such pair; the message names the recording.
        """
        if len(source) != 2 or not _is_whole(source[1]):
            kinds = ", ".join(type(one).__name__ for one in source)
            raise AudioError(f"{name} is a tuple ({kinds}); give (samples, rate), an array and a whole number of Hz.")
        samples, rate = source
        try:
            array = np.asarray(samples)
        except Exception as error:  # of tensors on other devices, lists of uneven length, and whatever else converts
            reason = shorten(str(error), 200) or type(error).__name__
            raise AudioError(f"{name} cannot be made an array of numpy ({reason}).") from error
        if array.ndim == 1 or not array.size:
            array = array.reshape(-1, 1)
        if array.ndim == 2 and array.shape[0] <= MAX_CHANNELS < array.shape[1]:
            array = array.T
        if array.ndim != 2 or array.shape[1] > MAX_CHANNELS:
            raise AudioError(
                f"{name} has the shape {list(array.shape)}; give [samples], [samples, channels] or [channels, samples] "
                f"of 1 to {MAX_CHANNELS} channels."
            )
        kind, size = array.dtype.kind, array.dtype.itemsize
        if not (kind == "f" or (kind == "i" and size in _SIGNED_BYTES) or (kind, size) == ("u", 1)):
            raise AudioError(
                f"{name} has samples of type {array.dtype}, whose full scale is unknown; give int16, int32, uint8, or "
                "floats from -1 to 1."
            )
        self.samplerate = int(rate)
        self._samples: NDArray[Any] = array
        self.channels = array.shape[1]
        self.subtype = "FLOAT" if kind == "f" else "PCM"
        self._place = 0

    def read(self, frames: int, *, dtype: str, always_2d: bool) -> NDArray[np.float32]:
        """Return the next samples, at most `frames`, as float32 [frames, channels] of full scale 1.0."""
        assert dtype == "float32"
        assert always_2d
        block = self._samples[self._place : self._place + frames]
        self._place += len(block)
        with np.errstate(over="ignore"):  # doubles beyond float32 become infinite, and are refused as such
            scaled = block.astype(np.float32)
        if block.dtype.kind == "u":
            scaled -= np.float32(128)
        return scaled if block.dtype.kind == "f" else scaled / np.float32(2 ** (8 * block.dtype.itemsize - 1))


def _is_whole(rate: object) -> bool:
    return isinstance(rate, numbers.Real) and not isinstance(rate, bool) and float(rate).is_integer()
