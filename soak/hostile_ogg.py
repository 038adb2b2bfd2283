"""OGG files page by page, Vorbis and Opus, mostly with checksums that fit, so that the decoder looks further."""

import struct
from collections.abc import Callable
from functools import cache

from numpy.random import Generator

from soak.sound_bases import LENGTHS, RATES, pick, sound_bytes


@cache
def _encoded(subtype: str, channels: int) -> bytes:
    pages = _pages(sound_bytes(format="OGG", subtype=subtype, channels=channels))
    for page in pages:
        page[14:18] = b"ser\0"  # the serial number, which the encoder draws anew each time
    return _joined(pages)


def _ogg(rng: Generator) -> bytes:
    return _encoded(pick(rng, ("VORBIS", "OPUS")), pick(rng, (1, 2)))


def _pages(content: bytes) -> list[bytearray]:
    starts = [place for place in range(len(content)) if content[place : place + 5] == b"OggS\0"]
    return [bytearray(content[start:end]) for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]


def _checksum(page: bytes) -> int:
    """Return the CRC-32 of an OGG page whose own field is 0 (RFC 3533: polynomial 0x04C11DB7, not reflected)."""
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC_TABLE[crc >> 24 ^ byte]
    return crc


def _crc_entry(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = (crc << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if crc >> 31 else crc << 1
    return crc


_CRC_TABLE = [_crc_entry(byte) for byte in range(256)]


def _joined(pages: list[bytearray], rng: Generator | None = None) -> bytes:
    """Join pages with checksums that fit, for without them a decoder looks no further; given `rng`, with most so."""
    for page in pages:
        if rng is None or rng.random() < 0.8:
            page[22:26] = bytes(4)
            page[22:26] = struct.pack("<I", _checksum(bytes(page)))
    return b"".join(bytes(page) for page in pages)


def _ogg_headers(rng: Generator) -> bytes:
    """Version, flags, granule position, serial, sequence number or number of segments of a page."""
    pages = _pages(_ogg(rng))
    page = pages[rng.integers(len(pages))]
    start, stop = pick(rng, ((4, 5), (5, 6), (6, 14), (14, 18), (18, 22), (26, 27), (27, 30)))
    page[start:stop] = pick(rng, (bytes(stop - start), b"\xff" * (stop - start), rng.bytes(stop - start)))
    return _joined(pages, rng)


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


def _ogg_comments(rng: Generator) -> bytes:
    """The second packet and the set-up: lengths of comments, codebooks."""
    pages = _pages(_ogg(rng))
    page = pages[min(1, len(pages) - 1)]
    for _ in range(rng.integers(1, 8)):
        page[rng.integers(28, len(page))] = rng.integers(256)
    if rng.random() < 0.3 and len(page) > 60:
        place = int(rng.integers(35, 56))
        page[place : place + 4] = struct.pack("<I", pick(rng, LENGTHS))
    return _joined(pages)


def _ogg_packets(rng: Generator) -> bytes:
    """Any bytes of the sound itself, under checksums that fit."""
    pages = _pages(_ogg(rng))
    page = pages[-1]
    for _ in range(rng.integers(1, 40)):
        page[rng.integers(min(60, len(page) - 1), len(page))] = rng.integers(256)
    return _joined(pages)


OGG_MAKERS: dict[str, Callable[[Generator], bytes]] = {
    "OGG": _ogg,
    "OGG page headers": _ogg_headers,
    "OGG page order": _ogg_order,
    "OGG heads": _ogg_heads,
    "OGG comments": _ogg_comments,
    "OGG packets": _ogg_packets,
}
"""What is made -> its maker."""
