"""AIFF, AU, CAF, W64, RF64, compressed WAV and MP3 files as no program would write them, seeded, by their headers."""

import struct
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.random import Generator

from tests.slow.hostile_files import LENGTHS, RATES, harmless, pick

SUBTYPES = {
    "AIFF": (
        "PCM_S8",
        "PCM_U8",
        "PCM_16",
        "PCM_24",
        "FLOAT",
        "DOUBLE",
        "ULAW",
        "ALAW",
        "IMA_ADPCM",
        "GSM610",
        "DWVW_16",
    ),
    "AU": ("PCM_S8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "ALAW", "G721_32", "G723_24"),
    "CAF": ("PCM_S8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC_16"),
    "W64": ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"),
    "RF64": ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
    "WAV": ("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "NMS_ADPCM_16"),
    "MP3": ("MPEG_LAYER_III",),
}
ORDER = {"AIFF": ">", "AU": ">", "CAF": ">", "W64": "<", "RF64": "<", "WAV": "<", "MP3": ">"}
CHUNKS = {"AIFF": (12, ">4sI"), "CAF": (8, ">4sq"), "RF64": (12, "<4sI"), "WAV": (12, "<4sI")}
"""Where the chunks begin, and the head of one."""
NUMBERS = (*LENGTHS, *RATES, 2**15, 2**15 - 1, 2**63, 2**63 - 1, 2**64 - 1, 24, 25, 255, 3, 4, 12, 0x7FFFF000)
STARTS = (
    b"\0\0\0\x20ftypM4A \0\0\0\0", b"\x1aE\xdf\xa3", b"#!AMR\n", b"\xff\xf1\x50\x80", b"RIFF\xff\xff\xff\xffAVI LIST",
    bytes.fromhex("3026b2758e66cf11"), b"OggS" + bytes(24) + b"Speex   ", b"ID3\4\0\0\0\0\0\x05_____\xff\xf1", b"wvpk",
    b"FORM\0\0\0\xffAIFF", b"FORM\xff\xff\xff\xffAIFCCOMM", b"caff\0\1\0\0desc", b".snd\0\0\0\x18", b"dns.", b"riff",
    b"RF64\xff\xff\xff\xffWAVEds64", b"RIFX", b"ID3\4\0\0\x7f\x7f\x7f\x7f", b"\xff\xfb\x90\x64", b"\xff\xf3\x18\xc4",
)  # fmt: skip
"""How files of all formats begin; random bytes follow."""


def _valid(format: str, rng: Generator) -> bytes:
    subtype = pick(rng, SUBTYPES[format])
    channels = 1 if subtype in ("GSM610", "G721_32", "G723_24", "NMS_ADPCM_16", "DWVW_16") else pick(rng, (1, 1, 2))
    return harmless(format, subtype, 0.5, channels)


def _fields(format: str, rng: Generator) -> bytes:
    """Up to three numbers of the header, where a field may be, false."""
    content = bytearray(_valid(format, rng))
    for _ in range(rng.integers(1, 4)):
        kind = pick(rng, ("H", "I", "I", "Q", "d"))
        place = 2 * int(rng.integers(2, 60))
        if kind == "d":
            struct.pack_into(
                f"{ORDER[format]}d", content, place, pick(rng, (0.0, -1.0, 1e300, np.nan, np.inf, 8_000.0))
            )
        else:
            value = pick(rng, NUMBERS) % 2 ** {"H": 16, "I": 32, "Q": 64}[kind]
            struct.pack_into(f"{ORDER[format]}{kind}", content, place, int(value))
    return bytes(content)


def _chunks(format: str, rng: Generator) -> bytes:
    """Chunks before the true ones, some with lengths that lie, so many at times that no end is in sight."""
    content, (begins, head) = _valid(format, rng), CHUNKS[format]
    names = (b"LIST", b"COMM", b"SSND", b"desc", b"data", b"fmt ", b"ds64", b"info", b"MARK", b"pakt", b"\0\0\0\0")
    chunks: list[bytes] = []
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.8 else int(rng.integers(60, 3_000))):
        body = rng.bytes(int(rng.integers(0, 40)))
        length = pick(rng, NUMBERS) if rng.random() < 0.2 else len(body)
        most = 2**63 if head.endswith("q") else 2**32
        chunks.append(struct.pack(head, pick(rng, names), int(length) % most) + body + bytes(len(body) % 2))
    return content[:begins] + b"".join(chunks) + content[begins:]


def _any_samples(format: str, rng: Generator) -> bytes:
    """A true header, and any bytes for sound: floats that are none, blocks that no encoder makes."""
    content = _valid(format, rng)
    start = (4_096 if format == "CAF" else 0) + int(rng.integers(60, 600))  # libsndfile leaves room for a longer header
    return content[:start] + rng.bytes(len(content) - start)


def _blocks(rng: Generator) -> bytes:
    """ADPCM and GSM with any number of channels, and blocks of any size."""
    tag, channels = pick(rng, (2, 2, 0x11, 0x11, 0x31, 6, 7)), pick(rng, (1, 1, 2, 2, 0, 3, 255))
    block = pick(rng, (65, 256, 512, 1024, 2**15, 2**15 + 4, 0, 1, 4, 7, 16, 32, 65_535, 4 * int(rng.integers(2**14))))
    values = (tag, channels, 8_000, 8_000, block, pick(rng, (4, 4, 8, 0, 16)))
    extra = struct.pack("<HH", pick(rng, (2, 32, 0)), pick(rng, (0, 505, 320, 65_535, int(rng.integers(2**16)))))
    form = struct.pack("<HHIIHH", *values) + extra + rng.bytes(30)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form
    data = rng.bytes(int(rng.integers(0, 40_000)))
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _tags(rng: Generator) -> bytes:
    """Tags before MP3, with sizes that lie, one in another, or one that hides another format."""
    content = _valid("MP3", rng)
    for _ in range(pick(rng, (1, 1, 2, 30))):
        body = rng.bytes(int(rng.integers(0, 200)))
        size = pick(rng, (len(body), len(body), 0, 2**28 - 1, int(rng.integers(2**14))))
        seven_bits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
        content = b"ID3" + rng.bytes(2) + bytes([pick(rng, (0, 0x10, 0x40, 0xFF))]) + seven_bits + body + content
    return content


def _starts(rng: Generator) -> bytes:
    return pick(rng, STARTS) + rng.bytes(int(rng.integers(0, 5_000)))


MAKERS: dict[str, Callable[[Generator], bytes]] = {
    **{f"{format} numbers": partial(_fields, format) for format in SUBTYPES},
    **{f"{format} chunks inserted": partial(_chunks, format) for format in CHUNKS},
    **{f"{format} any samples": partial(_any_samples, format) for format in SUBTYPES},
    "WAV compressed blocks": _blocks, "MP3 tags": _tags, "M4A and other starts": _starts,
}  # fmt: skip
"""What is made -> its maker."""
