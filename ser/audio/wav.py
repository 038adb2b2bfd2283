"""The header of a WAV file, read before a decoder sees its bytes: decoders believe what a header claims."""

import io
import struct
from dataclasses import dataclass

from ser.errors import AudioError

BinaryFile = io.BufferedReader | io.BytesIO

PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_STREAMED = (0, 0xFFFFFFFF)
"""Lengths that programs write when they do not know the end yet."""
_MAX_CHUNKS = 64
_FMT_BYTES = 40
_MAX_BYTES = 2**32 - 1 - 100
"""Of the sound: a length has 32 bits, and covers the header too."""


@dataclass(frozen=True, kw_only=True)
class WavHeader:
    """What the chunks `fmt ` and `data` claim.

    Attributes
    ----------
    channels, rate : as claimed; rate in Hz.
    form : the content of the chunk `fmt `, 16 to 40 bytes.
    begins : where the sound begins in the file.
    claimed_bytes, held_bytes : length of the sound as claimed, and what the file has of it.
    """

    channels: int
    rate: int
    form: bytes
    begins: int
    claimed_bytes: int
    held_bytes: int

    @property
    def is_cut(self) -> bool:
        """Whether the file ends before the sound that it claims."""
        return self.claimed_bytes not in _STREAMED and self.held_bytes < self.claimed_bytes


class BareWav:
    """A WAV file for libsndfile that has only its format and its sound, whatever other chunks the file has.

    libsndfile believes the lengths of lists and tags: 22 kB with a list of -8 bytes kept it busy for ever. It calls
    back and takes no exception, so a seek that fails leaves the place.
    """

    def __init__(self, file: BinaryFile, header: WavHeader) -> None:
        length = header.held_bytes if header.claimed_bytes in _STREAMED else header.claimed_bytes
        length = min(length, _MAX_BYTES)
        form = struct.pack("<4sI", b"fmt ", len(header.form)) + header.form + bytes(len(header.form) % 2)
        body = b"WAVE" + form + struct.pack("<4sI", b"data", length)
        self._start = struct.pack("<4sI", b"RIFF", len(body) + length) + body
        self._size = len(self._start) + length
        self._file, self._begins, self._place = file, header.begins, 0

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = place if place >= 0 else self._place
        return self._place

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer as far as there is something: libsndfile takes less for the end."""
        part = self._start[self._place : self._place + len(buffer)]
        buffer[: len(part)] = part
        self._place += len(part)
        left = self._size - self._place
        if len(part) < len(buffer) and left > 0:
            self._file.seek(self._begins + self._place - len(self._start))
            n_bytes = self._file.readinto(memoryview(buffer)[len(part) : len(part) + left])
            self._place += n_bytes
            return len(part) + n_bytes
        return len(part)


def read_wav_header(file: BinaryFile, *, size: int, name: str) -> WavHeader | None:
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
            return _header(form, begins=here, claimed=length, held=size - here, name=name)
        file.seek(here + length + length % 2)  # chunks begin at even places
    raise AudioError(f"{name} is a WAV file without sound (no data chunk).")


def _header(form: bytes | None, *, begins: int, claimed: int, held: int, name: str) -> WavHeader:
    if form is None or len(form) < 16:
        raise AudioError(f"{name} is a WAV file with a damaged header (no format before the sound).")
    tag, channels, rate = struct.unpack_from("<HHI", form)
    if tag == EXTENSIBLE and len(form) == _FMT_BYTES:
        (tag,) = struct.unpack_from("<H", form, 24)  # the subformat begins with the tag that counts
    if tag not in (PCM, FLOAT):
        raise AudioError(f"{name} holds samples of format 0x{tag:04X}; export it as PCM or floating point.")
    return WavHeader(channels=channels, rate=rate, form=form, begins=begins, claimed_bytes=claimed, held_bytes=held)
