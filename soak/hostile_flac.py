"""FLAC files whose STREAMINFO (at byte 8), metadata blocks or frames lie."""

import io
import struct
from collections.abc import Callable
from functools import cache

import numpy as np
import soundfile
from numpy.random import Generator

from soak.sound_bases import RATES, pick, sound_bytes


@cache
def _encoded(subtype: str, channels: int) -> bytes:
    return sound_bytes(format="FLAC", subtype=subtype, channels=channels)


def _flac(rng: Generator) -> bytes:
    return _encoded(pick(rng, ("PCM_16", "PCM_24")), pick(rng, (1, 1, 2, 8)))


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


def _flac_frames(rng: Generator) -> bytes:
    """Bytes at the beginning of frames, which say block size, rate, channels and place."""
    content = bytearray(_flac(rng))
    starts = [
        place for place in range(42, len(content) - 8) if content[place : place + 2] in (b"\xff\xf8", b"\xff\xf9")
    ]
    for start in rng.choice(starts, size=min(len(starts), 3), replace=False) if starts else []:
        content[start + rng.integers(2, 8)] = rng.integers(256)
    return bytes(content)


@cache
def _flac_bomb_of(rate: int, seconds: int, channels: int) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", samplerate=rate, channels=channels, format="FLAC", subtype="PCM_16") as flac:
        second = np.full((rate, channels), 0.25, dtype=np.float32)
        for _ in range(seconds):
            flac.write(second)
    return file.getvalue()


def _flac_bomb(rng: Generator) -> bytes:
    """Minutes of one value in a few kilobytes: eleven minutes once in a while, mostly one, in up to eight channels."""
    if rng.random() < 0.02:
        return _flac_bomb_of(22_050, 660, 1)
    return _flac_bomb_of(*pick(rng, ((192_000, 3, 8), (96_000, 20, 1), (4_000, 60, 8), (8_000, 60, 1))))


FLAC_MAKERS: dict[str, Callable[[Generator], bytes]] = {
    "FLAC": _flac,
    "FLAC fields": _flac_fields,
    "FLAC blocks": _flac_blocks,
    "FLAC frames": _flac_frames,
    "FLAC bomb": _flac_bomb,
}
"""What is made -> its maker."""
