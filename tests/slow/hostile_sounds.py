"""WAV, FLAC and OGG files as no program would write them: seeded, by their structure.

Half of them keep to the format and lie in one field; the others are damaged as well. Some lies are harmless, so a part
of the files is rightly accepted.
"""

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
import soundfile
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

RATE = 22050
RATES = (0, 1, 2, 3_999, 4_000, 8_000, 44_100, 192_000, 192_001, 655_350, 2**20 - 1, 2**31 - 1, 2**31, 2**32 - 1)
LENGTHS = (0, 1, 7, 2**16, 2**31 - 1, 2**31, 2**32 - 9, 2**32 - 8, 2**32 - 2, 2**32 - 1)
PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
ODD_TAGS = (0, 2, 6, 7, 0x11, 0x31, 0x55, 0x674F, 0xFFFF)
"""Formats other than plain samples: ADPCM, the laws, GSM, MP3, Vorbis."""
CHANNELS = (0, 1, 2, 7, 8, 9, 255, 256, 1024, 32_767, 65_535)

Option = TypeVar("Option")
Maker = Callable[[Generator], bytes]
MAKERS: dict[str, Maker] = {}
"""What is made -> its maker."""


@dataclass(frozen=True, kw_only=True)
class HostileSound:
    """A file: what was done to it, a suffix that fits, and its bytes."""

    kind: str
    suffix: str
    content: bytes


def hostile_sound(seed: int, place: int) -> HostileSound:
    """Return the file number `place` of those of `seed`; the same one whenever and wherever it is asked for."""
    rng = default_rng([seed, place])
    kind = pick(rng, list(MAKERS))
    suffix, content = f".{kind[:4].strip().lower()}", MAKERS[kind](rng)
    if rng.random() < 0.5:
        damage = pick(rng, list(DAMAGES))
        content, kind = DAMAGES[damage](content, rng), f"{kind}, {damage}"
    return HostileSound(kind=kind, suffix=suffix, content=content)


def pick(rng: Generator, options: Sequence[Option]) -> Option:
    """Return one of `options`, of whatever type they are."""
    return options[rng.integers(len(options))]


@cache
def chord(seconds: float, channels: int) -> NDArray[np.float32]:
    moments = np.arange(round(RATE * seconds)) / RATE
    tones = sum(np.sin(2 * np.pi * hertz * moments) for hertz in (140, 330, 905))
    noise = np.random.default_rng(0).normal(scale=0.01, size=(len(moments), channels))
    return (0.2 * tones[:, None] + noise).astype(np.float32)


@cache
def harmless(format: str, subtype: str | None = None, seconds: float = 0.5, channels: int = 1) -> bytes:
    """Return a harmless recording: a chord with a little noise, at 22,050 Hz; Opus knows only 24,000."""
    file = io.BytesIO()
    rate = 24_000 if subtype == "OPUS" else RATE
    soundfile.write(file, chord(seconds, channels), rate, format=format, subtype=subtype)
    return file.getvalue()


def made(kind: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        MAKERS[kind] = maker
        return maker

    return register


# WAV, chunk by chunk


def _chunk(kind: bytes, body: bytes, *, claimed: int | None = None) -> bytes:
    return kind + struct.pack("<I", len(body) if claimed is None else claimed) + body + b"\0" * (len(body) % 2)


def _form(*, tag: int = PCM, channels: int = 1, rate: int = RATE, bits: int = 16, extra: bytes = b"") -> bytes:
    frame = channels * bits // 8
    values = (tag, channels, rate, rate * frame % 2**32, frame % 2**16, bits)
    return _chunk(b"fmt ", struct.pack("<HHIIHH", *values) + extra)


def _wav(*chunks: bytes, magic: bytes = b"RIFF", claimed: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if claimed is None else claimed) + body


def _samples(rng: Generator) -> NDArray[np.float32]:
    return chord(0.5, 1)[:, 0] * np.float32(rng.uniform(0.1, 1.5))


def _pcm(rng: Generator) -> bytes:
    return (np.clip(_samples(rng), -1, 1) * 32_767).astype("<i2").tobytes()


@made("WAV fields")
def _wav_fields(rng: Generator) -> bytes:
    channels = pick(rng, (*CHANNELS, 1, int(rng.integers(0, 2**16))))
    rate = pick(rng, (*RATES, RATE, int(rng.integers(0, 2**32))))
    bits = pick(rng, (0, 1, 8, 12, 16, 16, 24, 32, 64, 65_535))
    keep = rng.integers(4)  # one field true, so that the others are reached
    form = _form(
        tag=pick(rng, (PCM, PCM, PCM, FLOAT, *ODD_TAGS)) if keep else PCM,
        channels=channels if keep != 1 else 1,
        rate=rate if keep != 2 else RATE,
        bits=bits if keep != 3 else 16,
    )
    return _wav(form, _chunk(b"data", _pcm(rng)))


@made("WAV lengths")
def _wav_lengths(rng: Generator) -> bytes:
    claimed = pick(rng, LENGTHS) if rng.random() < 0.7 else int(rng.integers(0, 2**17))
    whole = None if rng.random() < 0.5 else pick(rng, LENGTHS)
    return _wav(_form(), _chunk(b"data", _pcm(rng), claimed=claimed), claimed=whole)


@made("WAV chunks")
def _wav_chunks(rng: Generator) -> bytes:
    """Chunks of all kinds in any order and number, some of odd length, some with a length that lies."""
    formats = [_form(), _form(tag=FLOAT, bits=32), _form(channels=2), _form(rate=8_000)]
    chunks: list[bytes] = []
    for _ in range(rng.integers(1, 9)):
        choice = rng.integers(6)
        if choice == 0:
            chunks.append(pick(rng, formats))
        elif choice == 1:
            chunks.append(_chunk(b"data", _pcm(rng)[: rng.integers(0, 4_000)]))
        else:
            kind = pick(rng, (b"LIST", b"fact", b"bext", b"cue ", b"smpl", b"PEAK", b"junk", b"id3 ", b"\0\0\0\0"))
            body = rng.bytes(int(rng.integers(0, 300)))
            chunks.append(_chunk(kind, body, claimed=pick(rng, LENGTHS) if rng.random() < 0.2 else None))
    if rng.random() < 0.7:
        chunks += [_form(), _chunk(b"data", _pcm(rng))]
    return _wav(*chunks)


@made("WAV lists")
def _wav_lists(rng: Generator) -> bytes:
    """LIST chunks in LIST chunks, or so many chunks that no end is in sight."""
    if rng.random() < 0.5:
        return _wav(_chunk(b"junk", b"") * int(rng.integers(1, 20_000)), _form(), _chunk(b"data", _pcm(rng)))
    nested = b"INFO"
    for _ in range(rng.integers(1, 400)):
        nested = b"INFO" + _chunk(b"LIST", nested, claimed=pick(rng, LENGTHS) if rng.random() < 0.02 else None)
    return _wav(_form(), _chunk(b"LIST", nested), _chunk(b"data", _pcm(rng)))


@made("WAV floats")
def _wav_floats(rng: Generator) -> bytes:
    wide = rng.random() < 0.5
    samples = _samples(rng).astype("<f8" if wide else "<f4")
    values = (np.nan, np.inf, -np.inf, 1e38, -3e38, 1e25, 2.0**31, 1e-45, -0.0, 1e300)
    with np.errstate(over="ignore"):
        samples[rng.integers(0, len(samples), size=rng.integers(1, 50))] = pick(rng, values)
    return _wav(_form(tag=FLOAT, bits=64 if wide else 32), _chunk(b"data", samples.tobytes()))


@made("WAV noise")
def _wav_noise(rng: Generator) -> bytes:
    """Any bits as floating point, or any bits as samples."""
    tag, bits = pick(rng, ((FLOAT, 32), (FLOAT, 64), (PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32)))
    return _wav(_form(tag=tag, bits=bits), _chunk(b"data", rng.bytes(40_000)))


@made("WAV extensible")
def _wav_extensible(rng: Generator) -> bytes:
    tag = pick(rng, (PCM, FLOAT, *ODD_TAGS, EXTENSIBLE))
    guid = struct.pack("<H", tag) + (bytes.fromhex("000000001000800000aa00389b71") if rng.random() < 0.8 else bytes(14))
    extra = struct.pack("<HHI", pick(rng, (0, 22, 65_535)), pick(rng, (0, 16, 32, 65_535)), 2**32 - 1) + guid
    extra = extra[: rng.integers(0, 25)] if rng.random() < 0.3 else extra
    return _wav(_form(tag=EXTENSIBLE, extra=extra), _chunk(b"data", _pcm(rng)))


@made("WAV cousins")
def _wav_cousins(rng: Generator) -> bytes:
    """The cousins of RIFF: big endian, 64 bits, Sony's, and what is none at all."""
    magic = pick(rng, (b"RIFX", b"RF64", b"BW64", b"riff", b"FFIR", b"FORM", b"RIF2"))
    sizes = [pick(rng, (0, 1, 44_144, 2**40, 2**63, 2**64 - 1)) for _ in range(3)]
    ds64 = _chunk(b"ds64", struct.pack("<QQQI", *sizes, 0)) if rng.random() < 0.7 else b""
    return _wav(ds64, _form(), _chunk(b"data", _pcm(rng), claimed=pick(rng, (None, 2**32 - 1))), magic=magic)


# FLAC, whose STREAMINFO (at byte 8), metadata blocks or frames lie


@made("FLAC")
def _flac(rng: Generator) -> bytes:
    return harmless("FLAC", pick(rng, ("PCM_16", "PCM_24")), 0.5, pick(rng, (1, 1, 2, 8)))


@made("FLAC fields")
def _flac_fields(rng: Generator) -> bytes:
    """Rate (20 bits), channels less one (3), bits less one (5) and total samples (36) of STREAMINFO."""
    content = bytearray(_flac(rng))
    fields = int.from_bytes(content[18:26], "big")
    rate, channels, bits, total = fields >> 44, fields >> 41 & 7, fields >> 36 & 31, fields & (2**36 - 1)
    choice = rng.integers(5)
    if choice in (0, 4):
        rate = pick(rng, [rate for rate in RATES if rate < 2**20])
    if choice in (1, 4):
        channels = int(rng.integers(8))
    if choice in (2, 4):
        bits = int(rng.integers(32))
    if choice in (3, 4):
        total = pick(rng, (0, 1, 11_024, 11_026, 44_000_000, 2**32, 2**36 - 1))
    content[18:26] = (rate << 44 | channels << 41 | bits << 36 | total).to_bytes(8, "big")
    return bytes(content)


@made("FLAC blocks")
def _flac_blocks(rng: Generator) -> bytes:
    """Block sizes of STREAMINFO, or metadata blocks of any type, with lengths that lie."""
    content = bytearray(_flac(rng))
    if rng.random() < 0.5:
        content[8:12] = struct.pack(">HH", *(pick(rng, (0, 1, 15, 16, 4096, 65_535)) for _ in range(2)))
        return bytes(content)
    content[4] &= 0x7F  # another block follows
    body = rng.bytes(int(rng.integers(0, 500)))
    length = pick(rng, (len(body), len(body), 0, 2**24 - 1))
    block = bytes([0x80 | int(rng.integers(128))]) + length.to_bytes(3, "big") + body
    return bytes(content[:42]) + block + bytes(content[42:])


@made("FLAC frames")
def _flac_frames(rng: Generator) -> bytes:
    """Bytes at the beginning of frames, which say block size, rate, channels and place."""
    content = bytearray(_flac(rng))
    starts = [n for n in range(42, len(content) - 8) if content[n : n + 2] in (b"\xff\xf8", b"\xff\xf9")]
    for start in rng.choice(starts, size=min(len(starts), 3), replace=False) if starts else []:
        content[start + rng.integers(2, 8)] = rng.integers(256)
    return bytes(content)


@cache
def _flac_bomb_of(rate: int, seconds: int, channels: int) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", samplerate=rate, channels=channels, format="FLAC", subtype="PCM_16") as flac:
        for _ in range(seconds):
            flac.write(np.full((rate, channels), 0.25, dtype=np.float32))
    return file.getvalue()


@made("FLAC bomb")
def _flac_bomb(rng: Generator) -> bytes:
    """Minutes of one value in a few kilobytes: eleven minutes once in a while, mostly one, in up to eight channels."""
    if rng.random() < 0.02:
        return _flac_bomb_of(22_050, 660, 1)
    return _flac_bomb_of(*pick(rng, ((192_000, 3, 8), (96_000, 20, 1), (4_000, 60, 8), (8_000, 60, 1))))


# OGG, page by page, Vorbis and Opus, mostly with checksums that fit: without them a decoder looks no further


def _crc_entry(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = (crc << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if crc >> 31 else crc << 1
    return crc


_CRC_TABLE = [_crc_entry(byte) for byte in range(256)]


def _checksum(page: bytes) -> int:
    """Return the CRC-32 of an OGG page whose own field is 0 (RFC 3533: polynomial 0x04C11DB7, not reflected)."""
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC_TABLE[crc >> 24 ^ byte]
    return crc


def _pages(content: bytes) -> list[bytearray]:
    starts = [place for place in range(len(content)) if content[place : place + 5] == b"OggS\0"]
    return [bytearray(content[start:end]) for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]


def _joined(pages: list[bytearray], rng: Generator | None = None) -> bytes:
    """Join pages with checksums that fit; given `rng`, with most so."""
    for page in pages:
        if rng is None or rng.random() < 0.8:
            page[22:26] = bytes(4)
            page[22:26] = struct.pack("<I", _checksum(bytes(page)))
    return b"".join(bytes(page) for page in pages)


@cache
def _ogg_of(subtype: str, channels: int) -> bytes:
    pages = _pages(harmless("OGG", subtype, 0.5, channels))
    for page in pages:
        page[14:18] = b"ser\0"  # the serial number, which the encoder draws anew each time
    return _joined(pages)


@made("OGG")
def _ogg(rng: Generator) -> bytes:
    return _ogg_of(pick(rng, ("VORBIS", "OPUS")), pick(rng, (1, 2)))


@made("OGG page headers")
def _ogg_headers(rng: Generator) -> bytes:
    """Version, flags, granule position, serial, sequence number or number of segments of a page."""
    pages = _pages(_ogg(rng))
    page = pages[rng.integers(len(pages))]
    start, stop = pick(rng, ((4, 5), (5, 6), (6, 14), (14, 18), (18, 22), (26, 27), (27, 30)))
    page[start:stop] = pick(rng, (bytes(stop - start), b"\xff" * (stop - start), rng.bytes(stop - start)))
    return _joined(pages, rng)


@made("OGG page order")
def _ogg_order(rng: Generator) -> bytes:
    """Pages left out, doubled, or in another order."""
    pages = _pages(_ogg(rng))
    order = list(range(len(pages)))
    choice, place = rng.integers(3), int(rng.integers(len(order)))
    if choice == 0:
        del order[place]
    elif choice == 1:
        order.insert(place, int(rng.integers(len(pages))))
    else:
        rng.shuffle(order)
    return _joined([bytearray(pages[which]) for which in order], rng)


@made("OGG heads")
def _ogg_heads(rng: Generator) -> bytes:
    """The first packet: version, channels, rate, bit rates and block sizes of Vorbis; gain and mapping of Opus."""
    pages = _pages(_ogg(rng))
    head = 27 + pages[0][26]
    for _ in range(rng.integers(1, 4)):
        place = head + int(rng.integers(7, max(len(pages[0]) - head, 8)))
        if place < len(pages[0]):
            pages[0][place] = pick(rng, (0, 1, 2, 9, 127, 128, 255, int(rng.integers(256))))
    if rng.random() < 0.3:
        pages[0][head + 12 : head + 16] = struct.pack("<I", pick(rng, RATES))
    return _joined(pages, rng)


@made("OGG bytes")
def _ogg_bytes(rng: Generator) -> bytes:
    """Bytes of the comments, the codebooks and the sound itself, under checksums that fit."""
    pages = _pages(_ogg(rng))
    page = pages[pick(rng, (min(1, len(pages) - 1), -1))]
    for _ in range(rng.integers(1, 20)):
        page[rng.integers(min(28, len(page) - 1), len(page))] = rng.integers(256)
    if rng.random() < 0.3 and len(page) > 60:
        place = int(rng.integers(35, 56))  # where comments have their lengths
        page[place : place + 4] = struct.pack("<I", pick(rng, LENGTHS))
    return _joined(pages)


# Damage to any of them


def _flipped(content: bytes, rng: Generator) -> bytes:
    damaged = bytearray(content)
    reach = len(content) if rng.random() < 0.5 else min(len(content), 200)
    for place in rng.integers(0, max(reach, 1), size=rng.integers(1, 20)) if content else []:
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def _zeroed(content: bytes, rng: Generator) -> bytes:
    start, length = int(rng.integers(0, len(content) + 1)), int(rng.integers(1, 3_000))
    return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]


def _spliced(content: bytes, rng: Generator) -> bytes:
    """The beginning of one file and the end of another, of the same format or not."""
    other = pick(rng, (harmless("WAV"), harmless("FLAC"), content))
    return content[: rng.integers(0, len(content) + 1)] + other[rng.integers(0, len(other) + 1) :]


def _lengthened(content: bytes, rng: Generator) -> bytes:
    place = int(rng.integers(0, len(content) + 1))
    return content[:place] + rng.bytes(int(rng.integers(1, 2_000))) + content[place:]


DAMAGES: dict[str, Callable[[bytes, Generator], bytes]] = {
    "bits flipped": _flipped,
    "cut": lambda content, rng: content[: rng.integers(0, len(content) + 1)],
    "zeroed": _zeroed,
    "spliced": _spliced,
    "lengthened": _lengthened,
}
