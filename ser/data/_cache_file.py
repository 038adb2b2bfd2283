"""The cache of feature matrices on disk: one file an entry, written whole or not at all, checked when read.

A file an entry keeps every promise cheaply: a killed run loses only the entry it was writing, two runs may fill one
cache at once, and a sweep over other settings finds what it shares. Entries are not cut to a length, so runs
that differ in `features.max_length` share them.
"""

import struct
import zlib
from pathlib import Path

import numpy as np

from ser.data.files import replace_when_complete

_HEADER = struct.Struct("<4sIII")  # magic, rows, columns, CRC-32 of the values
_MAGIC = b"SER1"


def entry_path(cache_dir: Path, key: str) -> Path:
    """Return where the entry of `key` (hexadecimal) lies: spread over 256 folders, which any file system likes."""
    return cache_dir / key[:2] / f"{key[2:]}.features"


def write_entry(path: Path, features: np.ndarray) -> None:
    """Write float32 [features, frames] atomically; after a power cut `read_entry` may find it damaged, so absent."""
    values = np.ascontiguousarray(features, dtype="<f4")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(path, durable=False) as partial:
        header = _HEADER.pack(_MAGIC, *values.shape, zlib.crc32(values))
        partial.write_bytes(header + values.tobytes())


def read_entry(path: Path) -> np.ndarray | None:
    """Return float32 [features, frames], or None where the entry is absent, cut short, or has a flipped byte."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(raw) < _HEADER.size:
        return None
    magic, rows, columns, checksum = _HEADER.unpack_from(raw)
    body = memoryview(raw)[_HEADER.size :]
    if magic != _MAGIC or len(body) != rows * columns * 4 or zlib.crc32(body) != checksum:
        return None
    return np.frombuffer(body, dtype="<f4").reshape(rows, columns)
