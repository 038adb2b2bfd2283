"""AIFF, AU and CAF: their headers, read before a decoder sees their bytes."""

import math
import struct

from ser.audio.bare import (
    A_LAW,
    DOUBLE,
    FLOAT,
    MAX_CHUNKS,
    MU_LAW,
    PCM_8,
    PCM_16,
    PCM_24,
    PCM_32,
    BareSound,
    BinaryFile,
    Place,
    as_au,
    as_wav,
    place_of,
)
from ser.audio.formats import Foreign
from ser.errors import AudioError

_WHOLE = {1: PCM_8, 2: PCM_16, 3: PCM_24, 4: PCM_32}
"""Bytes of a sample -> encoding."""
_REAL = {4: FLOAT, 8: DOUBLE}
_UNSIGNED_8 = 0
"""No encoding of AU: it goes into a WAV."""
_AIFC = {
    b"fl32": FLOAT, b"FL32": FLOAT, b"fl64": DOUBLE, b"FL64": DOUBLE, b"ulaw": MU_LAW, b"ULAW": MU_LAW, b"alaw": A_LAW,
    b"ALAW": A_LAW, b"in24": PCM_24, b"in32": PCM_32, b"raw ": _UNSIGNED_8,
}  # fmt: skip
"""Compression type of AIFC -> encoding, beside those of whole numbers of the size in the header."""
_AIFC_WHOLE = (b"NONE", b"twos", b"sowt")
_AU = (MU_LAW, PCM_8, PCM_16, PCM_24, PCM_32, FLOAT, DOUBLE, A_LAW)
_MAX_CAF_CHUNK = 2**62


def read_aiff(file: BinaryFile, *, size: int, name: str) -> BareSound | Foreign | None:
    """Return an AIFF or AIFC file of `size` bytes as a decoder may see it, or None where it is of another kind.

    Raises
    ------
    AudioError : the header is damaged; it names the file.
    """
    start = file.read(12)
    if start[:4] != b"FORM" or start[8:12] not in (b"AIFF", b"AIFC"):
        return None
    common, place = b"", None
    for _ in range(MAX_CHUNKS):
        if len(chunk := file.read(8)) < 8:
            break
        kind, length = struct.unpack(">4sI", chunk)
        begins = file.tell()
        if kind == b"COMM":
            common = file.read(min(length, 22))
        elif kind == b"SSND" and len(offsets := file.read(8)) == 8:
            (offset,) = struct.unpack_from(">I", offsets)
            place = place_of(begins=begins + 8 + offset, size=size, claimed=length - 8 - offset if length else 0)
        if common and place:
            break
        file.seek(begins + length + length % 2)
    if len(common) < 18 or place is None:
        raise AudioError(f"{name} is an AIFF file with a damaged header (no format, or no sound).")
    channels, _, bits, exponent, mantissa = struct.unpack_from(">hIhHQ", common)
    rate = _rounded(math.ldexp(mantissa, exponent - 16383 - 63) if exponent < 16383 + 40 else 0.0)
    compression = common[18:22] if start[8:12] == b"AIFC" else b"NONE"
    encoding = _AIFC.get(compression) if compression not in _AIFC_WHOLE else _WHOLE.get(-(-bits // 8))
    if encoding is None and compression not in _AIFC_WHOLE:
        return Foreign(f"AIFC that holds {compression.decode('ascii', 'replace').strip()}")
    if encoding is None or channels < 0:
        raise AudioError(f"{name} is an AIFF file with a damaged header ({bits} bits, {channels} channels).")
    if encoding == _UNSIGNED_8:
        form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels % 2**32, channels, 8)
        return as_wav(file, form, place)
    return as_au(file, encoding, place, channels=channels, rate=rate, little_endian=compression == b"sowt")


def read_au(file: BinaryFile, *, size: int, name: str) -> BareSound | None:
    """Return an AU file as `read_aiff` does."""
    start = file.read(24)
    if start[:4] not in (b".snd", b"dns.") or len(start) < 24:
        return None
    little_endian = start[:4] == b"dns."
    begins, length, encoding, rate, channels = struct.unpack_from("<5I" if little_endian else ">5I", start, 4)
    if encoding not in _AU or begins < 24:
        raise AudioError(f"{name} is an AU file with samples of encoding {encoding}; export it as PCM.")
    place = place_of(begins=begins, size=size, claimed=length)
    return as_au(file, encoding, place, channels=channels, rate=rate, little_endian=little_endian)


def read_caf(file: BinaryFile, *, size: int, name: str) -> BareSound | Foreign | None:
    """Return a CAF file (Apple, "Core Audio Format Specification 1.0") as `read_aiff` does."""
    start = file.read(8)
    if start[:4] != b"caff":
        return None
    description = b""
    for _ in range(MAX_CHUNKS):
        if len(chunk := file.read(12)) < 12:
            break
        kind, length = struct.unpack(">4sq", chunk)
        begins = file.tell()
        if kind == b"desc":
            description = file.read(min(max(length, 0), 32))
        elif kind == b"data" and len(description) == 32:
            place = place_of(begins=begins + 4, size=size, claimed=max(length - 4, 0))  # a number of edits comes first
            return _caf_sound(file, description, name, place)
        if not 0 <= length < _MAX_CAF_CHUNK:
            break
        file.seek(begins + length)
    raise AudioError(f"{name} is a CAF file with a damaged header (no format before the sound, or no sound).")


def _caf_sound(file: BinaryFile, description: bytes, name: str, place: Place) -> BareSound | Foreign:
    rate, format_, flags, packet, frames, channels, bits = struct.unpack(">d4sIIIII", description)
    law = {b"ulaw": MU_LAW, b"alaw": A_LAW}.get(format_)
    if law is not None:
        return as_au(file, law, place, channels=channels, rate=_rounded(rate))
    if format_ != b"lpcm":
        return Foreign(f"CAF that holds {format_.decode('ascii', 'replace').strip()}")
    is_float, little_endian = bool(flags & 1), bool(flags & 2)
    n_bytes = -(-bits // 8)
    encoding = (_REAL if is_float else _WHOLE).get(n_bytes)
    if encoding is None or frames != 1 or packet != channels * n_bytes:
        raise AudioError(f"{name} is a CAF file with a damaged header ({bits} bits in packets of {packet} bytes).")
    return as_au(file, encoding, place, channels=channels, rate=_rounded(rate), little_endian=little_endian)


def _rounded(rate: float) -> int:
    """Return Hz as a whole number of 32 bits; 0, which is refused, for what is none."""
    return round(rate) if 0 <= rate < 2**32 - 1 else 0
