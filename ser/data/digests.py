"""The digests of sound files, which the keys of the cache are made of: read once, and not again at every start.

Where there are many files, what they were is kept in one file of the cache. A file is known again by its device, inode,
size and the times of its last change; whatever is written to it changes the latter, and it is read anew. Names that are
hard links of one file have one digest.
"""

import os
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ser.corpora.manifest import content_digest
from ser.data.files import write_bytes_atomically
from ser.data.workers import core_count

KEPT = "digests"
"""The name of the file in the folder of the cache."""
_KEPT_FROM = 10_000
"""Files from which on their digests are kept; fewer are read at every start."""
_SETTLED = 2.0
"""Seconds: a file that was changed so shortly before it is read may change again within the same tick of the clock."""
_AT_ONCE = 64
"""Files that a thread reads before the next thread's turn: there may be millions."""
_MASK = 2**63 - 1
"""Some systems number inodes with 64 bits and no sign."""
_RECORD = np.dtype([("file", "<i8", 5), ("digest", "V32")])

Identity = tuple[int, int, int, int, int]


def content_digests(paths: Sequence[Path], *, cache_dir: Path) -> list[str]:
    """Return the SHA-256 of each file as hexadecimal text.

    Raises
    ------
    OSError : a file cannot be read; it names it.
    """
    now = time.time_ns()
    files = [_identity(path) for path in paths]
    first: dict[Identity, Path] = {}  # the first name of each file
    for identity, path in zip(files, paths, strict=True):
        first.setdefault(identity, path)
    is_kept = len(first) >= _KEPT_FROM
    known = _read(cache_dir / KEPT) if is_kept else {}
    waiting = [identity for identity in first if identity not in known]
    new = dict(zip(waiting, _digests([first[identity] for identity in waiting]), strict=True))
    digests = {identity: known.get(identity) or new[identity] for identity in first}
    settled = {one: digest for one, digest in new.items() if max(one[3:]) < now - _SETTLED * 1e9}
    if is_kept and settled:
        _write(cache_dir / KEPT, known | settled)
    return [digests[identity].hex() for identity in files]


def _digests(paths: Sequence[Path]) -> list[bytes]:
    parts = (paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE))
    with ThreadPoolExecutor(core_count()) as pool:
        return [digest for part in pool.map(_digests_of_some, parts) for digest in part]


def _digests_of_some(paths: Sequence[Path]) -> list[bytes]:
    return [bytes.fromhex(content_digest(path)) for path in paths]


def _identity(path: Path) -> Identity:
    found = os.stat(path)  # noqa: PTH116 - a million of them
    return found.st_dev & _MASK, found.st_ino & _MASK, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path) -> dict[Identity, bytes]:
    """Return the digests of the files that were read before; none where the file is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    checksum, body = content[:4], content[4:]
    if len(body) % _RECORD.itemsize or zlib.crc32(body) != int.from_bytes(checksum, "little"):
        return {}
    records = np.frombuffer(body, dtype=_RECORD)
    identities = map(tuple, records["file"].tolist())
    return dict(zip(identities, map(bytes, records["digest"]), strict=True))


def _write(path: Path, digests: dict[Identity, bytes]) -> None:
    records = np.empty(len(digests), dtype=_RECORD)
    records["file"] = list(digests)
    records["digest"] = np.frombuffer(b"".join(digests.values()), dtype="V32")
    body = records.tobytes()
    write_bytes_atomically(path, zlib.crc32(body).to_bytes(4, "little") + body)
