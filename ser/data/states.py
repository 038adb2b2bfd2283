"""The states of a frozen encoder in the cache: made once per recording, kept in half precision, mapped into memory.

A `base` encoder has 1 MB of them for a second of sound, thirteen times as much as the sound itself has in single
precision. So no run holds them all: a batch is read from the files that it needs.
"""

import hashlib
import logging
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser.corpora.progress import track
from ser.data.files import replace_when_complete
from ser.data.storage import StoredFeatures
from ser.errors import SerError

log = logging.getLogger(__name__)

Encode = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float16]]
"""Maps waveforms in frames, float32 [batch, samples of a frame, frames], and lengths int64 [batch] to states, float16
[batch, rows, frames].
"""

_HEADER = struct.Struct("<4sIII")  # magic, rows, frames, CRC-32 of the values
_MAGIC = b"SERE"


class StoredStates(StoredFeatures):
    """The states of samples, indexed like an array float16 [samples, rows, max_length] along its first axis.

    Parameters
    ----------
    paths : of the entries; samples of equal sound share one.
    shape : rows, max_length.
    """

    def __init__(self, paths: Sequence[str], *, shape: tuple[int, int]) -> None:
        self.shape = (len(paths), *shape)
        self._paths = paths
        self._checked: set[str] = set()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(  # type: ignore[override]  # of half precision
        self, chosen: slice | Sequence[int] | NDArray[np.int64]
    ) -> NDArray[np.float16]:
        """Return a copy, 0 where padded.

        Raises
        ------
        SerError : an entry is damaged or gone.
        """
        rows = range(len(self))[chosen] if isinstance(chosen, slice) else [int(row) for row in chosen]
        states = np.zeros((len(rows), *self.shape[1:]), dtype=np.float16)
        for place, row in zip(states, rows, strict=True):
            entry = self._mapped(self._paths[row])
            place[:, : entry.shape[1]] = entry
        return states

    def of(self, rows: NDArray[np.int64]) -> "StoredStates":
        """Return the states of some of the samples."""
        return StoredStates([self._paths[row] for row in rows.tolist()], shape=self.shape[1:])

    def _mapped(self, path: str) -> NDArray[np.float16]:
        entry = map_states(path, n_rows=self.shape[1])
        if entry is None or (path not in self._checked and not _is_intact(path, entry)):
            raise SerError(f"{path} is damaged or gone; delete it and start again, and it is made anew.")
        self._checked.add(path)
        return entry


def store_states(
    features: Any, lengths: NDArray[np.int64], encode: Encode, *, key: str, n_rows: int, cache_dir: Path
) -> StoredStates:
    """Make the states of samples that the cache lacks, and return those of all.

    Parameters
    ----------
    features : waveforms in frames, float32 [samples, samples of a frame, max_length]: an array, or what is indexed like
        one.
    lengths : int64 [samples], frames of each before the padding.
    key : tells this encoder and its code from others.
    n_rows : of the states of a frame.
    """
    max_length = features.shape[2]
    folder = cache_dir / "states"
    paths = list[str]()
    made = 0
    for sample, length in track(
        zip(_one_by_one(features), lengths.tolist(), strict=True),
        total=len(lengths),
        description="Encoder",
        unit="samples",
    ):
        waveform = np.ascontiguousarray(sample[:, :, :length])  # [1, samples of a frame, length]
        digest = hashlib.sha256(f"{key} {waveform.shape}".encode())
        digest.update(waveform.data)
        name = digest.hexdigest()
        path = folder / name[:2] / f"{name[2:]}.states"
        if map_states(path, n_rows=n_rows) is None:
            write_states(path, encode(waveform, np.array([length], dtype=np.int64))[0])
            made += 1
        paths.append(str(path))
    log.info("%d samples, the encoder's states of %d from the cache", len(paths), len(paths) - made)
    return StoredStates(paths, shape=(n_rows, max_length))


def write_states(path: Path, states: NDArray[np.float16]) -> None:
    """Write float16 [rows, frames] atomically."""
    values = np.ascontiguousarray(states, dtype="<f2")
    with replace_when_complete(path, durable=False) as partial, partial.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, *values.shape, zlib.crc32(values.data)))
        file.write(values.data)


def map_states(path: Path | str, *, n_rows: int) -> NDArray[np.float16] | None:
    """Return float16 [n_rows, frames], mapped into memory; None where there is no such entry, or a part of one."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a path that is text, of which there may be millions
            raw = file.read(_HEADER.size)
            size = os.fstat(file.fileno()).st_size
            if len(raw) < _HEADER.size:
                return None
            magic, rows, frames, _ = _HEADER.unpack(raw)
            if (magic, rows) != (_MAGIC, n_rows) or size != _HEADER.size + 2 * rows * frames:
                return None
            return np.memmap(file, dtype="<f2", mode="r", offset=_HEADER.size, shape=(rows, frames))
    except FileNotFoundError:
        return None


def _is_intact(path: str, entry: NDArray[np.float16]) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123
        checksum: int = _HEADER.unpack(file.read(_HEADER.size))[3]
    return zlib.crc32(entry.data) == checksum


def _one_by_one(features: Any) -> Iterator[NDArray[np.float32]]:
    for row in range(len(features)):
        yield features[row : row + 1]
