"""The header of a WAV file, read before a decoder sees its bytes: decoders believe what a header claims."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from ser.errors import AudioError

PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_STREAMED = (0, 0xFFFFFFFF)
"""Lengths that programs write when they do not know the end yet."""
_MAX_CHUNKS = 64
_FMT_BYTES = 40


@dataclass(frozen=True, kw_only=True)
class WavHeader:
    """What the chunks `fmt ` and `data` claim.

    Attributes
    ----------
    channels, rate : as claimed; rate in Hz.
    claimed_bytes, held_bytes : length of the sound as claimed, and what the file has of it.
    """

    channels: int
    rate: int
    claimed_bytes: int
    held_bytes: int

    @property
    def is_cut(self) -> bool:
        """Whether the file ends before the sound that it claims."""
        return self.claimed_bytes not in _STREAMED and self.held_bytes < self.claimed_bytes


def read_wav_header(file: BinaryIO, *, size: int, name: str) -> WavHeader | None:
    """Return the header of a RIFF/WAVE file of `size` bytes, or None where the file is of another kind.

    Raises
    ------
    AudioError : the header is damaged, or the samples are neither PCM nor floating point; it names the file.
    """
    start = file.read(12)
    if start[:4] != b"RIFF":
        return None
    if start[8:12] != b"WAVE":
        raise AudioError(f"{name} is a RIFF file, but holds no WAVE sound.")
    form: bytes | None = None
    for _ in range(_MAX_CHUNKS):
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        kind, length = struct.unpack("<4sI", chunk)
        here = file.tell()
        if kind == b"fmt ":
            form = file.read(min(length, _FMT_BYTES))
        elif kind == b"data":
            return _header(form, claimed=length, held=size - here, name=name)
        file.seek(here + length + length % 2)  # chunks begin at even places
    raise AudioError(f"{name} is a WAV file without sound (no data chunk).")


def _header(form: bytes | None, *, claimed: int, held: int, name: str) -> WavHeader:
    if form is None or len(form) < 16:
        raise AudioError(f"{name} is a WAV file with a damaged header (no format before the sound).")
    tag, channels, rate = struct.unpack_from("<HHI", form)
    if tag == EXTENSIBLE and len(form) == _FMT_BYTES:
        (tag,) = struct.unpack_from("<H", form, 24)  # the subformat begins with the tag that counts
    if tag not in (PCM, FLOAT):
        raise AudioError(f"{name} holds samples of format 0x{tag:04X}; export it as PCM or floating point.")
    return WavHeader(channels=channels, rate=rate, claimed_bytes=claimed, held_bytes=held)
