"""Features on disk: the entries of the cache, and samples that stay in them because they do not fit into memory."""

import logging
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser.data.files import replace_when_complete
from ser.errors import AudioError
from ser.features.settings import FeatureSettings

log = logging.getLogger(__name__)

_HEADER = struct.Struct("<4sIII")  # magic, rows, columns, CRC-32 of the values
_MAGIC = b"SER1"
_ASSUMED_MEMORY = 4 * 10**9
"""Bytes, where the system does not say how much memory is free."""
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def write_entry(path: Path, features: NDArray[np.float32]) -> None:
    """Write float32 [features, frames] atomically; after a power cut `read_entry` may find it damaged, so absent."""
    values = np.ascontiguousarray(features, dtype="<f4")
    with replace_when_complete(path, durable=False) as partial:
        partial.write_bytes(_HEADER.pack(_MAGIC, *values.shape, zlib.crc32(values.data)) + values.tobytes())


def read_entry(path: Path | str, *, is_checked: bool = True) -> NDArray[np.float32] | None:
    """Return float32 [features, frames], or None where the entry is absent, cut short, or has a flipped byte.

    `is_checked` of False leaves out the checksum, of an entry that was read before.
    """
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a path that is text, of which there are millions
            raw = file.read()
    except FileNotFoundError:
        return None
    if len(raw) < _HEADER.size:
        return None
    magic, rows, columns, checksum = _HEADER.unpack_from(raw)
    body = memoryview(raw)[_HEADER.size :]
    if magic != _MAGIC or len(body) != rows * columns * 4 or (is_checked and zlib.crc32(body) != checksum):
        return None
    return np.frombuffer(body, dtype="<f4").reshape(rows, columns)


def fill(row: NDArray[np.float32], entry: NDArray[np.float32]) -> int:
    """Write an entry into float32 [features, max_length], cut or padded with 0; return how many frames it fills."""
    n_frames: int = min(entry.shape[1], row.shape[1])
    row[:, :n_frames] = entry[:, :n_frames]
    row[:, n_frames:] = 0
    return n_frames


def frames_of_entry(path: str, *, n_features: int) -> int:
    """Return how many frames an entry has by the size of its file; 0 where there is no such entry."""
    try:
        size = os.stat(path).st_size - _HEADER.size  # noqa: PTH116
    except FileNotFoundError:
        return 0
    frames, rest = divmod(size, 4 * n_features)
    return frames if frames > 0 and not rest else 0


class StoredFeatures:
    """The features of samples that stay in the cache: a selection of samples is read when it is asked for.

    It is indexed like an array float32 [samples, features, max_length] along its first axis, by a slice or by numbers,
    and gives the same values. Entries are read, not mapped into memory: they have some 200 kB each, and what is read
    stays in the page cache of the system as long as nothing else needs the memory.

    Parameters
    ----------
    entries : paths of the cache's entries; samples of equal sound share one.
    numbers : int64 [samples], the entry of each sample.
    shape : features, max_length.
    mend : makes an entry anew, by its number; an entry may be damaged, or removed while the training runs.
    """

    def __init__(
        self,
        entries: Sequence[str],
        numbers: NDArray[np.int64],
        *,
        shape: tuple[int, int],
        mend: Callable[[int], object],
    ) -> None:
        self.shape = (len(numbers), *shape)
        self._entries, self._numbers, self._mend = entries, numbers, mend
        self._was_read = bytearray(len(entries))

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, chosen: slice | Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        numbers = self._numbers[chosen]
        selection = np.empty((len(numbers), *self.shape[1:]), dtype=np.float32)
        for row, number in zip(selection, numbers.tolist(), strict=True):
            fill(row, self._read(number))
        return selection

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all samples into memory."""
        return np.asarray(self[:], dtype=dtype)

    def of(self, rows: NDArray[np.int64]) -> "StoredFeatures":
        """Return the features of some of the samples, which stay in the cache too."""
        return StoredFeatures(self._entries, self._numbers[rows], shape=self.shape[1:], mend=self._mend)

    def _read(self, number: int) -> NDArray[np.float32]:
        """Return float32 [features, frames] of an entry.

        Raises
        ------
        AudioError : it is damaged and cannot be made again; it names the entry.
        """
        entry = read_entry(self._entries[number], is_checked=not self._was_read[number])
        if entry is None or len(entry) != self.shape[1]:
            self._mend(number)
            entry = read_entry(self._entries[number])
            if entry is None or len(entry) != self.shape[1]:
                raise AudioError(
                    f"{self._entries[number]} is damaged and could not be made again; is the recording still there, "
                    "and is there room on the disk?"
                )
        self._was_read[number] = 1
        return entry


def available_memory() -> int:
    """Return the bytes of memory that are free for this process, as far as the system says.

    On Linux those that can be had without swapping, at most the limit of a container; elsewhere half of all memory.
    """
    free = _free_memory()
    try:
        return min(free, int(_CONTAINER_LIMIT.read_text(encoding="ascii")))
    except (OSError, ValueError):  # there is none: no such file, or "max"
        return free


def _free_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):  # Windows
        return _ASSUMED_MEMORY


def fits_in_memory(n_samples: int, features: FeatureSettings, *, memory_gb: float | None) -> bool:
    """Whether the features of all samples of a run fit into `memory_gb` (10**9 bytes); None: half of what is free."""
    needed = 4 * n_samples * features.n_features * features.max_length
    budget = available_memory() / 2 if memory_gb is None else 1e9 * memory_gb
    if needed <= budget:
        return True
    log.info(
        "The features take %.1f GB, more than the %.1f GB of data.memory_gb: each batch is read from the cache",
        needed / 1e9,
        budget / 1e9,
    )
    return False
