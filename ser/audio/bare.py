"""A sound file for the decoder that is a header of our own and samples, whatever else the file holds.

libsndfile believes the lengths of lists, tags and chunks: 22 kB with a list of -8 bytes kept it busy for ever. So it
sees two kinds of header alone, the shortest there are: WAV for samples whose first byte is the lowest, AU for others.
"""

import io
import struct
from dataclasses import dataclass

BinaryFile = io.BufferedReader | io.BytesIO

_UNKNOWN = 0x7EFF0000
"""From here on a length that the file does not hold is one that a program writes when it does not know the end yet:
0x7F000000 (AIFF), 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, each rounded down to whole frames, or 2**63 - 1."""
_MAX_BYTES = 2**32 - 1 - 100
"""Of the sound: a length has 32 bits, and in WAV covers the header too."""
MAX_CHUNKS = 64
"""Of a file that are looked at for its format and its sound."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the samples lie in a file.

    Attributes
    ----------
    begins : bytes before them.
    held : bytes of the file from there on.
    claimed : their length by the header, in bytes; `held` where the program that wrote it did not know.
    """

    begins: int
    held: int
    claimed: int


def place_of(*, begins: int, size: int, claimed: int) -> Place:
    """Return the place of samples in a file of `size` bytes, given a length as its header has it."""
    held = max(size - begins, 0)
    is_unknown = claimed <= 0 or (claimed > held and claimed >= _UNKNOWN)
    return Place(begins=begins, held=held, claimed=held if is_unknown else claimed)


class Seekable:
    """A file for libsndfile, which calls back and takes no exception: a seek that fails leaves the place."""

    def __init__(self, file: BinaryFile) -> None:
        self.readinto, self.tell, self._seek = file.readinto, file.tell, file.seek

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError):  # to before the beginning, by a damaged length
            return self.tell()


class BareSound:
    """A header of ours and samples of a file, read as one file. A seek that fails leaves the place: no one may raise.

    Attributes
    ----------
    channels, rate : as the file's own header claims; rate in Hz.
    place : of the samples in the file.
    """

    def __init__(self, file: BinaryFile, header: bytes, place: Place, *, channels: int, rate: int) -> None:
        self.channels, self.rate, self.place = channels, rate, place
        self._header, self._file, self._at = header, file, 0
        self._size = len(header) + min(place.claimed, _MAX_BYTES)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = at if at >= 0 else self._at
        return self._at

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer as far as there is something: libsndfile takes less for the end."""
        part = self._header[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        left = self._size - self._at
        if len(part) < len(buffer) and left > 0:
            self._file.seek(self.place.begins + self._at - len(self._header))
            n_bytes = self._file.readinto(memoryview(buffer)[len(part) : len(part) + left])
            self._at += n_bytes
            return len(part) + n_bytes
        return len(part)


def as_wav(file: BinaryFile, form: bytes, place: Place) -> BareSound:
    """Return samples under the header of a WAV file, given the content of its chunk `fmt `, 16 bytes or more."""
    _, channels, rate = struct.unpack_from("<HHI", form)
    length = min(place.claimed, _MAX_BYTES)
    body = b"WAVE" + struct.pack("<4sI", b"fmt ", len(form)) + form + bytes(len(form) % 2)
    body += struct.pack("<4sI", b"data", length)
    header = struct.pack("<4sI", b"RIFF", len(body) + length) + body
    return BareSound(file, header, place, channels=channels, rate=rate)


MU_LAW, PCM_8, PCM_16, PCM_24, PCM_32, FLOAT, DOUBLE, A_LAW = 1, 2, 3, 4, 5, 6, 7, 27
"""Encodings of AU: http://pubs.opengroup.org/external/auformat.html; whole numbers are signed."""


def as_au(
    file: BinaryFile, encoding: int, place: Place, *, channels: int, rate: int, little_endian: bool = False
) -> BareSound:
    """Return samples under the header of an AU file."""
    length = min(place.claimed, _MAX_BYTES)
    order, magic = ("<", b"dns.") if little_endian else (">", b".snd")
    numbers = (24, length, encoding, min(rate, 2**32 - 1), min(channels, 2**16))
    header = magic + struct.pack(f"{order}5I", *numbers)
    return BareSound(file, header, place, channels=channels, rate=rate)
