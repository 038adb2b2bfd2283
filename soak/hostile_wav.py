"""WAV files chunk by chunk, whose headers lie."""

import struct
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from soak.sound_bases import LENGTHS, RATE, RATES, chord, pick

PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
ODD_TAGS = (0, 2, 6, 7, 0x11, 0x31, 0x55, 0x674F, 0xFFFF)
"""Formats other than plain samples: ADPCM, the laws, GSM, MP3, Vorbis."""
CHANNELS = (0, 1, 2, 7, 8, 9, 255, 256, 1024, 32_767, 65_535)
FLOATS = (np.nan, np.inf, -np.inf, 1e38, -3e38, 1e25, 2.0**31, 1e-45, -0.0)


def _chunk(kind: bytes, body: bytes, *, claimed: int | None = None) -> bytes:
    return kind + struct.pack("<I", len(body) if claimed is None else claimed) + body + b"\0" * (len(body) % 2)


def _form(*, tag: int = PCM, channels: int = 1, rate: int = RATE, bits: int = 16, extra: bytes = b"") -> bytes:
    frame = channels * bits // 8
    values = (tag, channels, rate, rate * frame % 2**32, frame % 2**16, bits)
    return _chunk(b"fmt ", struct.pack("<HHIIHH", *values) + extra)


def _wav(*chunks: bytes, magic: bytes = b"RIFF", claimed: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if claimed is None else claimed) + body


def _samples(rng: Generator, *, seconds: float = 0.5) -> NDArray[np.float32]:
    return chord(0.5, 1)[: round(RATE * seconds), 0] * np.float32(rng.uniform(0.1, 1.5))


def _pcm(rng: Generator) -> bytes:
    return (np.clip(_samples(rng), -1, 1) * 32_767).astype("<i2").tobytes()


def _wav_fields(rng: Generator) -> bytes:
    channels, rate, bits = pick(rng, CHANNELS), pick(rng, RATES), pick(rng, (0, 1, 8, 12, 16, 24, 32, 64, 65_535))
    keep = rng.integers(4)  # one field true, so that the others are reached
    form = _form(
        tag=pick(rng, (PCM, PCM, PCM, FLOAT, *ODD_TAGS)) if keep else PCM,
        channels=channels if keep != 1 else 1,
        rate=rate if keep != 2 else RATE,
        bits=bits if keep != 3 else 16,
    )
    return _wav(form, _chunk(b"data", _pcm(rng)))


def _wav_rate(rng: Generator) -> bytes:
    rate = pick(rng, RATES) if rng.random() < 0.5 else int(rng.integers(0, 2**32))
    return _wav(_form(rate=rate), _chunk(b"data", _pcm(rng)))


def _wav_channels(rng: Generator) -> bytes:
    channels = pick(rng, CHANNELS) if rng.random() < 0.5 else int(rng.integers(0, 2**16))
    return _wav(_form(channels=channels), _chunk(b"data", _pcm(rng)))


def _wav_lengths(rng: Generator) -> bytes:
    claimed = pick(rng, LENGTHS) if rng.random() < 0.7 else int(rng.integers(0, 2**17))
    whole = None if rng.random() < 0.5 else pick(rng, LENGTHS)
    return _wav(_form(), _chunk(b"data", _pcm(rng), claimed=claimed), claimed=whole)


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


def _wav_lists(rng: Generator) -> bytes:
    """LIST chunks in LIST chunks, or so many chunks that no end is in sight."""
    if rng.random() < 0.5:
        many = _chunk(b"junk", b"") * int(rng.integers(1, 20_000))
        return _wav(many, _form(), _chunk(b"data", _pcm(rng)))
    nested = b"INFO"
    for _ in range(rng.integers(1, 400)):
        nested = b"INFO" + _chunk(b"LIST", nested, claimed=pick(rng, LENGTHS) if rng.random() < 0.02 else None)
    return _wav(_form(), _chunk(b"LIST", nested), _chunk(b"data", _pcm(rng)))


def _wav_floats(rng: Generator) -> bytes:
    wide = rng.random() < 0.5
    samples = _samples(rng).astype("<f8" if wide else "<f4")
    with np.errstate(over="ignore"):
        samples[rng.integers(0, len(samples), size=rng.integers(1, 50))] = pick(rng, (*FLOATS, 1e300))
    return _wav(_form(tag=FLOAT, bits=64 if wide else 32), _chunk(b"data", samples.tobytes()))


def _wav_noise(rng: Generator) -> bytes:
    """Any bits as floating point, or any bits as samples."""
    tag, bits = pick(rng, ((FLOAT, 32), (FLOAT, 64), (PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32)))
    return _wav(_form(tag=tag, bits=bits), _chunk(b"data", rng.bytes(40_000)))


def _wav_extensible(rng: Generator) -> bytes:
    tag = pick(rng, (PCM, FLOAT, *ODD_TAGS, EXTENSIBLE))
    guid = struct.pack("<H", tag) + (bytes.fromhex("000000001000800000aa00389b71") if rng.random() < 0.8 else bytes(14))
    extra = struct.pack("<HHI", pick(rng, (0, 22, 65_535)), pick(rng, (0, 16, 32, 65_535)), 2**32 - 1) + guid
    return _wav(_form(tag=EXTENSIBLE, extra=extra[: rng.integers(0, 25)] if rng.random() < 0.3 else extra),
                _chunk(b"data", _pcm(rng)))  # fmt: skip


def _wav_others(rng: Generator) -> bytes:
    """The cousins of RIFF: big endian, 64 bits, Sony's, and what is none at all."""
    magic = pick(rng, (b"RIFX", b"RF64", b"BW64", b"riff", b"FFIR", b"FORM", b"RIF2"))
    sizes = [pick(rng, (0, 1, 44_144, 2**40, 2**63, 2**64 - 1)) for _ in range(3)]
    ds64 = _chunk(b"ds64", struct.pack("<QQQI", *sizes, 0)) if rng.random() < 0.7 else b""
    return _wav(ds64, _form(), _chunk(b"data", _pcm(rng), claimed=pick(rng, (None, 2**32 - 1))), magic=magic)


def _wav_bare(rng: Generator) -> bytes:
    whole = _wav(_form(), _chunk(b"data", _pcm(rng)))
    return whole[: rng.integers(0, 60)]


WAV_MAKERS: dict[str, Callable[[Generator], bytes]] = {
    "WAV fields": _wav_fields,
    "WAV rate": _wav_rate,
    "WAV channels": _wav_channels,
    "WAV lengths": _wav_lengths,
    "WAV chunks": _wav_chunks,
    "WAV lists": _wav_lists,
    "WAV floats": _wav_floats,
    "WAV noise": _wav_noise,
    "WAV extensible": _wav_extensible,
    "WAV cousins": _wav_others,
    "WAV bare": _wav_bare,
}
"""What is made -> its maker."""
