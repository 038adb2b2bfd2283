"""WAV and its cousins of 64 bits, RF64 and W64: their headers, read before a decoder sees their bytes."""

import struct
from collections.abc import Iterator

from ser.audio.bare import MAX_CHUNKS, BareSound, BinaryFile, Place, as_wav, place_of
from ser.audio.formats import Foreign
from ser.errors import AudioError

PCM, MS_ADPCM, FLOAT, A_LAW, MU_LAW, IMA_ADPCM, GSM, EXTENSIBLE = 1, 2, 3, 6, 7, 0x11, 0x31, 0xFFFE
_BY_FFMPEG = {0x45: "G.726", 0x50: "MPEG", 0x55: "MP3", 0xFF: "AAC", 0x160: "WMA", 0x161: "WMA", 0x2000: "AC-3"}
_FMT_BYTES = 40
_MAX_BLOCK = 2**15
_MS_ADPCM_COEFFICIENTS = (256, 0, 512, -256, 0, 0, 192, 64, 240, 0, 460, -208, 392, -232)
"""The seven pairs that every file has (Microsoft, "New Multimedia Data Types and Data Techniques", 1994)."""
_W64_RIFF, _W64_WAVE = (
    bytes.fromhex(guid) for guid in ("726966662e91cf11a5d628db04c10000", "77617665f3acd3118cd100c04f8edb8a")
)
_UNTOLD = 2**32 - 1


def read_wav(file: BinaryFile, *, size: int, name: str) -> BareSound | Foreign | None:
    """Return a RIFF/WAVE or RF64 file of `size` bytes as a decoder may see it, or None where it is of another kind.

    Raises
    ------
    AudioError : the header is damaged, or the samples are of a format that nobody reads; it names the file.
    """
    start = file.read(12)
    if start[:4] not in (b"RIFF", b"RF64", b"BW64"):
        return None
    if start[8:12] != b"WAVE":
        raise AudioError(f"{name} is a RIFF file, but holds no WAVE sound.")
    return _read_chunks(file, _riff_chunks(file), size=size, name=name)


def read_w64(file: BinaryFile, *, size: int, name: str) -> BareSound | Foreign | None:
    """Return a W64 file as `read_wav` does."""
    start = file.read(40)
    if start[:16] != _W64_RIFF or start[24:40] != _W64_WAVE:
        return None
    return _read_chunks(file, _w64_chunks(file), size=size, name=name)


def _riff_chunks(file: BinaryFile) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of each chunk, with the file at its content."""
    for _ in range(MAX_CHUNKS):
        if len(chunk := file.read(8)) < 8:
            return
        kind, length = struct.unpack("<4sI", chunk)
        begins = file.tell()
        yield kind, length
        file.seek(begins + length + length % 2)  # chunks begin at even places


def _w64_chunks(file: BinaryFile) -> Iterator[tuple[bytes, int]]:
    """As `_riff_chunks`: the kind is a GUID that begins with that of RIFF, and the length covers kind and length."""
    for _ in range(MAX_CHUNKS):
        if len(chunk := file.read(24)) < 24:
            return
        kind, length = struct.unpack("<4s12xQ", chunk)
        begins = file.tell()
        yield kind, length - 24
        if not 24 <= length < 2**62:
            return
        file.seek(begins + -(-length // 8) * 8 - 24)  # chunks begin at places divisible by 8


def _read_chunks(
    file: BinaryFile, chunks: Iterator[tuple[bytes, int]], *, size: int, name: str
) -> BareSound | Foreign | None:
    form, length_64 = b"", 0
    for kind, length in chunks:
        if kind == b"fmt ":
            form = file.read(min(max(length, 0), _FMT_BYTES))
        elif kind == b"ds64":
            _, length_64 = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
        elif kind == b"data":
            claimed = length_64 if length == _UNTOLD and length_64 else length
            return _as_decoder_may_see(file, form, place_of(begins=file.tell(), size=size, claimed=claimed), name)
    raise AudioError(f"{name} is a WAV file without sound (no data chunk).")


def _as_decoder_may_see(file: BinaryFile, form: bytes, place: Place, name: str) -> BareSound | Foreign:
    if len(form) < 16:
        raise AudioError(f"{name} is a WAV file with a damaged header (no format before the sound).")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", form)
    if tag == EXTENSIBLE and len(form) == _FMT_BYTES:
        (tag,) = struct.unpack_from("<H", form, 24)  # the subformat begins with the tag that counts
    if tag in (PCM, FLOAT):
        return as_wav(file, form, place)
    if tag in (A_LAW, MU_LAW) and bits == 8:
        plain = struct.pack("<HHIIHHH", tag, channels, rate, rate * channels % 2**32, channels, 8, 0)
        return as_wav(file, plain, place)
    samples = _samples_of_block(tag, channels, block)
    if samples:
        return as_wav(file, _block_form(tag, channels, rate, block, samples), place)
    if tag in _BY_FFMPEG:
        return Foreign(f"WAV that holds {_BY_FFMPEG[tag]}")
    raise AudioError(f"{name} holds samples of format 0x{tag:04X}; export it as PCM or floating point.")


def _samples_of_block(tag: int, channels: int, block: int) -> int:
    """Return samples of a channel in a block of `block` bytes, or 0 where no encoder makes such blocks."""
    if tag == GSM and (channels, block) == (1, 65):
        return 320
    if channels not in (1, 2) or not 16 * channels <= block <= _MAX_BLOCK:
        return 0
    if tag == IMA_ADPCM and block % (4 * channels) == 0:
        return 2 * (block // channels - 4) + 1
    if tag == MS_ADPCM and block % channels == 0:
        return 2 * (block // channels - 7) + 2
    return 0


def _block_form(tag: int, channels: int, rate: int, block: int, samples: int) -> bytes:
    """Return the content of `fmt ` of a compressed format, of nothing but what was checked."""
    extra = struct.pack("<H", samples)
    if tag == MS_ADPCM:
        extra += struct.pack("<H14h", 7, *_MS_ADPCM_COEFFICIENTS)
    bits = 0 if tag == GSM else 4
    per_second = rate * block // samples % 2**32  # of a rate that is refused later
    return struct.pack("<HHIIHHH", tag, channels, rate, per_second, block, bits, len(extra)) + extra
