"""The header of a WAV file, read before a decoder sees its bytes: decoders believe what a header claims."""

import io
import struct

from ser.errors import AudioError

BinaryFile = io.BufferedReader | io.BytesIO

PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_STREAMED = (0, 0xFFFFFFFF)
"""Lengths that programs write when they do not know the end yet."""
_MAX_CHUNKS = 64
_FMT_BYTES = 40
_MAX_BYTES = 2**32 - 1 - 100
"""Of the sound: a length has 32 bits, and covers the header too."""


class BareWav:
    """A WAV file for libsndfile that has only its format and its sound, whatever other chunks the file has.

    libsndfile believes the lengths of lists and tags: 22 kB with a list of -8 bytes kept it busy for ever. It calls
    back and takes no exception, so a seek that fails leaves the place.

    Attributes
    ----------
    channels, rate : as the header claims; rate in Hz.
    held_bytes, claimed_bytes : what the file has of the sound, and its length as claimed; the same where the program
        that wrote the file did not know the end yet.
    """

    def __init__(self, file: BinaryFile, form: bytes, *, begins: int, held: int, claimed: int) -> None:
        """Take the content of the chunk `fmt `, 16 to 40 bytes, and the place at which the sound begins."""
        _, self.channels, self.rate = struct.unpack_from("<HHI", form)
        self.held_bytes, self.claimed_bytes = held, held if claimed in _STREAMED else claimed
        length = min(self.claimed_bytes, _MAX_BYTES)
        body = b"WAVE" + struct.pack("<4sI", b"fmt ", len(form)) + form + bytes(len(form) % 2)
        body += struct.pack("<4sI", b"data", length)
        self._start = struct.pack("<4sI", b"RIFF", len(body) + length) + body
        self._size = len(self._start) + length
        self._file, self._begins, self._place = file, begins, 0

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


def read_wav(file: BinaryFile, *, size: int, name: str) -> BareWav | None:
    """Return a RIFF/WAVE file of `size` bytes as a decoder may see it, or None where the file is of another kind.

    Raises
    ------
    AudioError : the header is damaged, or the samples are neither PCM nor floating point; it names the file.
    """
    start = file.read(12)
    if start[:4] != b"RIFF":
        return None
    if start[8:12] != b"WAVE":
        raise AudioError(f"{name} is a RIFF file, but holds no WAVE sound.")
    form = b""
    for _ in range(_MAX_CHUNKS):
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        kind, length = struct.unpack("<4sI", chunk)
        begins = file.tell()
        if kind == b"fmt ":
            form = file.read(min(length, _FMT_BYTES))
        elif kind == b"data":
            _check_form(form, name)
            return BareWav(file, form, begins=begins, held=size - begins, claimed=length)
        file.seek(begins + length + length % 2)  # chunks begin at even places
    raise AudioError(f"{name} is a WAV file without sound (no data chunk).")


def _check_form(form: bytes, name: str) -> None:
    if len(form) < 16:
        raise AudioError(f"{name} is a WAV file with a damaged header (no format before the sound).")
    (tag,) = struct.unpack_from("<H", form)
    if tag == EXTENSIBLE and len(form) == _FMT_BYTES:
        (tag,) = struct.unpack_from("<H", form, 24)  # the subformat begins with the tag that counts
    if tag not in (PCM, FLOAT):
        raise AudioError(f"{name} holds samples of format 0x{tag:04X}; export it as PCM or floating point.")
