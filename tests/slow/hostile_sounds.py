"""WAV, FLAC, OGG and other sound files as no program would write them: seeded, by their structure.

Half of them keep to the format and lie in one field; the others are damaged as well. Some lies are harmless, so a part
of the files is rightly accepted.
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng

from tests.slow import hostile_headers
from tests.slow.hostile_files import LENGTHS, RATE, RATES, encoded, harmless, pick

PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
ODD_TAGS = (0, 2, 6, 7, 0x11, 0x31, 0x55, 0x674F, 0xFFFF)
"""Formats other than plain samples: ADPCM, the laws, GSM, MP3, Vorbis."""
CHANNELS = (0, 1, 2, 7, 8, 9, 255, 256, 1024, 32_767, 65_535)
STREAMINFO = (
    (44, 20, [rate for rate in RATES if rate < 2**20]),  # the rate
    (41, 3, range(8)),  # channels less one
    (36, 5, range(32)),  # bits less one
    (0, 36, (0, 1, 11_024, 11_026, 44_000_000, 2**32, 2**36 - 1)),  # samples
)
"""Of FLAC, from byte 18: place of the lowest bit, number of bits and false values of each field."""

DAMAGES = ("bits flipped", "cut", "zeroed", "spliced", "lengthened")


class HostileSound(NamedTuple):
    """A file: what was done to it, a suffix that fits, and its bytes."""

    kind: str
    suffix: str
    content: bytes


def hostile_sound(seed: int, place: int) -> HostileSound:
    """Return the file number `place` of those of `seed`; the same one whenever and wherever it is asked for."""
    rng = default_rng([seed, place])
    kind = pick(rng, list(MAKERS))
    suffix, content = f".{kind.partition(' ')[0].lower()}", MAKERS[kind](rng)
    if rng.random() < 0.5:
        damage = pick(rng, DAMAGES)
        content, kind = _damaged(content, damage, rng), f"{kind}, {damage}"
    return HostileSound(kind, suffix, content)


def _damaged(content: bytes, damage: str, rng: Generator) -> bytes:
    """Do one of `DAMAGES`; spliced is the beginning of this file and the end of another, of its format or not."""
    place, length = int(rng.integers(len(content) + 1)), int(rng.integers(1, 3_000))
    if damage == "bits flipped":
        flipped = bytearray(content)
        reach = len(content) if rng.random() < 0.5 else min(len(content), 200)
        for at in rng.integers(0, reach, size=rng.integers(1, 20)) if content else []:
            flipped[at] ^= 1 << int(rng.integers(8))
        return bytes(flipped)
    other = pick(rng, (harmless("WAV"), harmless("FLAC"), harmless("AIFF"), harmless("CAF"), content))
    behind = {
        "cut": b"",
        "zeroed": bytes(min(length, len(content) - place)) + content[place + length :],
        "spliced": other[rng.integers(len(other) + 1) :],
        "lengthened": rng.bytes(length) + content[place:],
    }
    return content[:place] + behind[damage]


def _chunk(kind: bytes, body: bytes, *, claimed: int | None = None) -> bytes:
    return kind + struct.pack("<I", len(body) if claimed is None else claimed) + body + b"\0" * (len(body) % 2)


def _form(*, tag: int = PCM, channels: int = 1, rate: int = RATE, bits: int = 16, extra: bytes = b"") -> bytes:
    frame = channels * bits // 8
    values = (tag, channels, rate, rate * frame % 2**32, frame % 2**16, bits)
    return _chunk(b"fmt ", struct.pack("<HHIIHH", *values) + extra)


def _wav(*chunks: bytes, magic: bytes = b"RIFF", claimed: int | None = None) -> bytes:
    return _chunk(magic, b"WAVE" + b"".join(chunks), claimed=claimed)


def _samples(rng: Generator) -> np.ndarray:
    pcm = np.frombuffer(harmless("WAV")[44:], dtype="<i2")
    return pcm / np.float32(2**15) * np.float32(rng.uniform(0.1, 1.5))


def _data(rng: Generator, *, claimed: int | None = None) -> bytes:
    samples = (np.clip(_samples(rng), -1, 1) * 32_767).astype("<i2")
    return _chunk(b"data", samples.tobytes(), claimed=claimed)


def _wav_fields(rng: Generator) -> bytes:
    fields = {
        "channels": pick(rng, (*CHANNELS, 1, int(rng.integers(0, 2**16)))),
        "rate": pick(rng, (*RATES, RATE, int(rng.integers(0, 2**32)))),
        "bits": pick(rng, (0, 1, 8, 12, 16, 16, 24, 32, 64, 65_535)),
        "tag": pick(rng, (PCM, PCM, PCM, FLOAT, *ODD_TAGS)),
    }
    del fields[pick(rng, list(fields))]  # one field true, so that the others are reached
    return _wav(_form(**fields), _data(rng))


def _wav_lengths(rng: Generator) -> bytes:
    claimed = pick(rng, (*LENGTHS, *rng.integers(0, 2**17, size=4)))
    return _wav(_form(), _data(rng, claimed=claimed), claimed=pick(rng, (None, pick(rng, LENGTHS))))


def _wav_chunks(rng: Generator) -> bytes:
    """Chunks of all kinds in any order and number, some of odd length, some with a length that lies."""
    chunks: list[bytes] = []
    for _ in range(rng.integers(1, 9)):
        kind = pick(rng, (b"LIST", b"fact", b"bext", b"cue ", b"smpl", b"PEAK", b"junk", b"id3 ", b"\0\0\0\0"))
        body = rng.bytes(int(rng.integers(0, 300)))
        other = _chunk(kind, body, claimed=pick(rng, LENGTHS) if rng.random() < 0.2 else None)
        form = pick(rng, (_form(), _form(tag=FLOAT, bits=32), _form(channels=2), _form(rate=8_000)))
        data = _chunk(b"data", _data(rng)[8 : 8 + rng.integers(0, 4_000)])
        chunks.append(pick(rng, (form, data, other, other, other, other)))
    return _wav(*chunks, *((_form(), _data(rng)) if rng.random() < 0.7 else ()))


def _wav_lists(rng: Generator) -> bytes:
    """LIST chunks in LIST chunks, or so many chunks that no end is in sight."""
    if rng.random() < 0.5:
        return _wav(_chunk(b"junk", b"") * int(rng.integers(1, 20_000)), _form(), _data(rng))
    nested = b"INFO"
    for _ in range(rng.integers(1, 400)):
        nested = b"INFO" + _chunk(b"LIST", nested, claimed=pick(rng, LENGTHS) if rng.random() < 0.02 else None)
    return _wav(_form(), _chunk(b"LIST", nested), _data(rng))


def _wav_floats(rng: Generator) -> bytes:
    """Floating point with values that are no samples."""
    bits = pick(rng, (32, 64))
    value = pick(rng, (np.nan, np.inf, -np.inf, 1e38, -3e38, 1e25, 2.0**31, 1e-45, -0.0, 1e300))
    samples = _samples(rng).astype(f"<f{bits // 8}")
    with np.errstate(over="ignore"):
        samples[rng.integers(0, len(samples), size=rng.integers(1, 50))] = value
    return _wav(_form(tag=FLOAT, bits=bits), _chunk(b"data", samples.tobytes()))


def _wav_noise(rng: Generator) -> bytes:
    """Any bits as floating point, or any bits as samples."""
    forms = [_form(tag=FLOAT, bits=bits) for bits in (32, 64)] + [_form(bits=bits) for bits in (8, 16, 24, 32)]
    return _wav(pick(rng, forms), _chunk(b"data", rng.bytes(40_000)))


def _wav_extensible(rng: Generator) -> bytes:
    tag = pick(rng, (PCM, FLOAT, *ODD_TAGS, EXTENSIBLE))
    guid = struct.pack("<H", tag) + (bytes.fromhex("000000001000800000aa00389b71") if rng.random() < 0.8 else bytes(14))
    extra = struct.pack("<HHI", pick(rng, (0, 22, 65_535)), pick(rng, (0, 16, 32, 65_535)), 2**32 - 1) + guid
    extra = extra[: rng.integers(0, 25)] if rng.random() < 0.3 else extra
    return _wav(_form(tag=EXTENSIBLE, extra=extra), _data(rng))


def _wav_cousins(rng: Generator) -> bytes:
    """The cousins of RIFF: big endian, 64 bits, Sony's, and what is none at all."""
    magic = pick(rng, (b"RIFX", b"RF64", b"BW64", b"riff", b"FFIR", b"FORM", b"RIF2"))
    sizes = [pick(rng, (0, 1, 44_144, 2**40, 2**63, 2**64 - 1)) for _ in range(3)]
    ds64 = _chunk(b"ds64", struct.pack("<QQQI", *sizes, 0)) if rng.random() < 0.7 else b""
    return _wav(ds64, _form(), _data(rng, claimed=pick(rng, (None, 2**32 - 1))), magic=magic)


def _flac(rng: Generator) -> bytes:
    """Return a file whose STREAMINFO is at byte 8, 34 bytes long; a metadata block or a frame follows."""
    return harmless("FLAC", pick(rng, ("PCM_16", "PCM_24")), 0.5, pick(rng, (1, 1, 2, 8)))


def _flac_fields(rng: Generator) -> bytes:
    """One field of STREAMINFO, or all of them."""
    content = _flac(rng)
    fields, chosen = int.from_bytes(content[18:26], "big"), rng.integers(5)
    for shift, bits, values in STREAMINFO[chosen : chosen + 1] or STREAMINFO:
        fields = fields & ~((2**bits - 1) << shift) | int(pick(rng, values)) << shift
    return content[:18] + fields.to_bytes(8, "big") + content[26:]


def _flac_blocks(rng: Generator) -> bytes:
    """Block sizes of STREAMINFO, or metadata blocks of any type, with lengths that lie."""
    content = _flac(rng)
    if rng.random() < 0.5:
        sizes = struct.pack(">HH", *(pick(rng, (0, 1, 15, 16, 4096, 65_535)) for _ in range(2)))
        return content[:8] + sizes + content[12:]
    body = rng.bytes(int(rng.integers(0, 500)))
    length = pick(rng, (len(body), len(body), 0, 2**24 - 1))
    block = bytes([0x80 | int(rng.integers(128))]) + length.to_bytes(3, "big") + body
    another_follows = bytes([content[4] & 0x7F])
    return content[:4] + another_follows + content[5:42] + block + content[42:]


def _flac_frames(rng: Generator) -> bytes:
    """Bytes at the beginning of frames, which say block size, rate, channels and place."""
    content = bytearray(_flac(rng))
    starts = [n for n in range(42, len(content) - 8) if content[n : n + 2] in (b"\xff\xf8", b"\xff\xf9")]
    for start in rng.choice(starts, size=min(len(starts), 3), replace=False) if starts else []:
        content[start + rng.integers(2, 8)] = rng.integers(256)
    return bytes(content)


@cache
def _flac_bomb_of(rate: int, seconds: int, channels: int) -> bytes:
    return encoded(np.full((rate * seconds, channels), 2**13, dtype=np.int16), rate, "FLAC", "PCM_16")


def _flac_bomb(rng: Generator) -> bytes:
    """Minutes of one value in a few kilobytes: eleven minutes once in a while, mostly one, in up to eight channels."""
    if rng.random() < 0.02:
        return _flac_bomb_of(22_050, 660, 1)
    return _flac_bomb_of(*pick(rng, ((192_000, 3, 8), (96_000, 20, 1), (4_000, 60, 8), (8_000, 60, 1))))


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _checksum(page: bytes) -> int:
    """Return the CRC-32 of an OGG page whose own field is 0 (RFC 3533): zlib's, but not mirrored, and from 0."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _pages(content: bytes) -> list[bytearray]:
    starts = [place for place in range(len(content)) if content[place : place + 5] == b"OggS\0"]
    return [bytearray(content[start:end]) for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]


def _joined(pages: Sequence[bytes], rng: Generator | None = None) -> bytes:
    """Join pages with checksums that fit, else a decoder looks no further; given `rng`, with most so."""
    summed = [page[:22] + struct.pack("<I", _checksum(page[:22] + bytes(4) + page[26:])) + page[26:] for page in pages]
    return b"".join(s if rng is None or rng.random() < 0.8 else p for s, p in zip(summed, pages, strict=True))


def _ogg(rng: Generator) -> bytes:
    pages = _pages(harmless("OGG", pick(rng, ("VORBIS", "OPUS")), 0.5, pick(rng, (1, 2))))
    return _joined([page[:14] + b"ser\0" + page[18:] for page in pages])  # a serial number that is not drawn anew


def _ogg_headers(rng: Generator) -> bytes:
    """Version, flags, granule position, serial, sequence number or number of segments of a page."""
    pages = _pages(_ogg(rng))
    start, stop = pick(rng, ((4, 5), (5, 6), (6, 14), (14, 18), (18, 22), (26, 27), (27, 30)))
    value = pick(rng, (bytes(stop - start), b"\xff" * (stop - start), rng.bytes(stop - start)))
    pages[rng.integers(len(pages))][start:stop] = value
    return _joined(pages, rng)


def _ogg_order(rng: Generator) -> bytes:
    """Pages left out, doubled, or in another order."""
    pages = _pages(_ogg(rng))
    order = rng.permutation(len(pages))
    less, more = np.sort(order[1:]), np.sort([*order, order[0]])
    return _joined([pages[which] for which in pick(rng, (less, more, order))], rng)


def _ogg_heads(rng: Generator) -> bytes:
    """The first packet: version, channels, rate, bit rates and block sizes of Vorbis; gain and mapping of Opus."""
    pages = _pages(_ogg(rng))
    head = 27 + pages[0][26]
    for place in rng.integers(head + 7, len(pages[0]), size=rng.integers(1, 4)):
        pages[0][place] = pick(rng, (0, 1, 2, 9, 127, 128, 255, int(rng.integers(256))))
    if rng.random() < 0.3:
        pages[0][head + 12 : head + 16] = struct.pack("<I", pick(rng, RATES))
    return _joined(pages, rng)


def _ogg_bytes(rng: Generator) -> bytes:
    """Bytes of the comments, the codebooks and the sound itself, under checksums that fit."""
    pages = _pages(_ogg(rng))
    page = pick(rng, (pages[min(1, len(pages) - 1)], pages[-1]))
    for _ in range(rng.integers(1, 20)):
        page[rng.integers(min(28, len(page) - 1), len(page))] = rng.integers(256)
    if rng.random() < 0.3 and len(page) > 60:
        place = int(rng.integers(35, 56))  # where comments have their lengths
        page[place : place + 4] = struct.pack("<I", pick(rng, LENGTHS))
    return _joined(pages)


MAKERS: dict[str, Callable[[Generator], bytes]] = {
    "WAV fields": _wav_fields, "WAV lengths": _wav_lengths, "WAV chunks": _wav_chunks, "WAV lists": _wav_lists,
    "WAV floats": _wav_floats, "WAV noise": _wav_noise, "WAV extensible": _wav_extensible, "WAV cousins": _wav_cousins,
    "FLAC": _flac, "FLAC fields": _flac_fields, "FLAC blocks": _flac_blocks, "FLAC frames": _flac_frames,
    "FLAC bomb": _flac_bomb, "OGG": _ogg, "OGG page headers": _ogg_headers, "OGG page order": _ogg_order,
    "OGG heads": _ogg_heads, "OGG bytes": _ogg_bytes, **hostile_headers.MAKERS,
}  # fmt: skip
"""What is made -> its maker."""
