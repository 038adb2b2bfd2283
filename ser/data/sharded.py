"""Training from shards: each process reads its own, and holds a few of them at a time."""

import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from ser.data.samplers import BLUR_FRAMES, POOL, epoch_seed
from ser.data.storage import StoredFeatures
from ser.data.tasks import part_name
from ser.errors import SerError, SettingsError


class ShardedFeatures(StoredFeatures):
    """The features of samples in shards, indexed like an array float32 [samples, features, max_length].

    Whole shards are read: those of `expect` in the background, else the one that is needed, and it alone is held.

    Parameters
    ----------
    folder : of the shards of a part.
    shards, rows : int64 [samples], the number of the shard of each sample, and the row in it.
    shape : features, max_length.
    dtype : "float16" or "float32", of the shards.
    """

    def __init__(
        self, folder: Path, shards: NDArray[np.int64], rows: NDArray[np.int64], *, shape: tuple[int, int], dtype: str
    ) -> None:
        self.shape = (len(shards), *shape)
        self._folder, self._shards, self._rows = folder, shards, rows
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._held: dict[int, Future[list[NDArray[Any]]]] = {}
        self._pool = ThreadPoolExecutor(1)

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def shards(self) -> Tensor:
        """The number of the shard of each sample, int64 [samples]."""
        return torch.from_numpy(self._shards)

    @property
    def n_held(self) -> int:
        """How many rows are in memory, or on their way there."""
        return sum(len(one.result()) for one in self._held.values())

    def of(self, rows: NDArray[np.int64]) -> "ShardedFeatures":
        """Return the features of some of the samples."""
        return ShardedFeatures(
            self._folder, self._shards[rows], self._rows[rows], shape=self.shape[1:], dtype=self._dtype.name
        )

    def expect(self, shards: Collection[int]) -> None:
        """Hold these shards and no others; those that are missing are read in the background, in this order."""
        self._held = {number: one for number, one in self._held.items() if number in shards}
        for number in shards:
            if number not in self._held:
                self._held[number] = self._pool.submit(self._read_shard, number)

    def __getitem__(self, chosen: slice | Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy, 0 where padded.

        Raises
        ------
        SerError : a shard is damaged or gone; it names it.
        """
        shards, rows = self._shards[chosen], self._rows[chosen]
        selection = np.zeros((len(rows), *self.shape[1:]), dtype=np.float32)
        for number in np.unique(shards).tolist():
            if number not in self._held:
                self.expect([number])
            held = self._held[number].result()
            for place in np.flatnonzero(shards == number).tolist():
                values = held[rows[place]]
                selection[place, :, : values.shape[1]] = values
        return selection

    def _read_shard(self, number: int) -> list[NDArray[Any]]:
        """Return the features of the rows of a shard, [features, frames] each; none of a row with an error."""
        import pyarrow.parquet as pq

        path = self._folder / part_name(number)
        try:
            with pq.ParquetFile(path) as file:
                table = file.read(columns=["n_frames", "crc", "features"])
            found = []
            for n, crc, values in zip(*(table[name] for name in ("n_frames", "crc", "features")), strict=True):
                content = values.as_buffer() if values.is_valid else b""
                if values.is_valid and zlib.crc32(content) != crc.as_py():
                    raise OSError("a checksum is wrong")  # noqa: TRY301
                found.append(np.frombuffer(content, dtype=self._dtype).reshape(self.shape[1], n.as_py()))
        except (OSError, ValueError, KeyError) as error:
            raise SerError(
                f"{path} is damaged or gone ({' '.join(str(error).split())}); delete it, and run `ser prepare` again, "
                "which makes what is missing."
            ) from error
        return found


class ShardBatchSampler(Sampler[list[int]]):
    """Batches of the samples of one process's shards; they follow from the seed and the epoch's number alone.

    The shards are dealt out to the processes once, the largest first, each to the one that has the fewest samples. An
    epoch takes a process's shards in random order and shuffles the samples of some consecutive shards together. Every
    sample comes once, and all processes have equally many batches: each divides its own samples into that many batches
    of nearly equal size, so that a process with a few samples more has batches with one more.

    Parameters
    ----------
    shards : int64 [samples], the number of the shard of each sample, rising.
    lengths : int64 [samples], frames of each sample.
    batch_size : samples of a batch, of all processes together; some batches may have a few more.
    seed : None takes the samples in their order.
    buffer : shards that are shuffled together.
    by_length : samples of like length share a batch, within every `POOL` batches, which are then shuffled.
    is_fixed : every epoch has the batches of the first.
    expect : is told which shards will be needed, before they are.

    Raises
    ------
    SettingsError : the shards are too few, or too unequal, to give each process a sample for each batch.
    """

    def __init__(
        self,
        shards: Tensor,
        lengths: Tensor,
        *,
        batch_size: int,
        seed: int | None = None,
        buffer: int = 1,
        by_length: bool = False,
        is_fixed: bool = False,
        rank: int = 0,
        world_size: int = 1,
        expect: Callable[[Collection[int]], None] | None = None,
    ) -> None:
        self.lengths, self.seed, self.buffer, self.by_length = lengths, seed, buffer, by_length
        self.is_fixed, self.epoch, self.rank, self.expect = is_fixed, 0, rank, expect
        self.sampler = self  # Lightning calls `set_epoch` of a batch sampler's own sampler
        numbers, counts = torch.unique_consecutive(shards, return_counts=True)
        ends = counts.cumsum(0).tolist()
        self.members = {
            number: torch.arange(end - count, end)
            for number, count, end in zip(numbers.tolist(), counts.tolist(), ends, strict=True)
        }
        dealt = deal_shards({number: len(members) for number, members in self.members.items()}, world_size)
        self.own = dealt[rank]
        self.n_batches = -(-len(shards) // batch_size)
        fewest = min(sum(len(self.members[number]) for number in of_one) for of_one in dealt)
        if fewest < self.n_batches:
            raise SettingsError(
                f"trainer.devices and num_nodes make {world_size} processes, but {len(numbers)} shards cannot be dealt "
                f"out to them for {self.n_batches} batches each; give a larger data.batch_size, or prepare shards of a "
                "smaller data.shard_size."
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = 0 if self.is_fixed else epoch

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed or 0, self.epoch, self.rank))
        is_random = self.seed is not None
        order = torch.randperm(len(self.own), generator=generator).tolist() if is_random else range(len(self.own))
        own = [self.own[place] for place in order]
        groups = [own[start : start + self.buffer] for start in range(0, len(own), self.buffer)]
        members = [torch.cat([self.members[number] for number in group]) for group in groups]
        if is_random:
            members = [one[torch.randperm(len(one), generator=generator)] for one in members]
        rows = torch.cat(members)
        group_of = torch.repeat_interleave(torch.tensor([len(one) for one in members]))
        cuts = [number * len(rows) // self.n_batches for number in range(self.n_batches + 1)]
        for first in range(0, self.n_batches, POOL):
            ends = cuts[first : first + POOL + 1]
            pool = rows[ends[0] : ends[-1]]
            if self.expect is not None:  # those of these batches, and the group behind them
                groups_of_pool = range(int(group_of[ends[0]]), int(group_of[ends[-1] - 1]) + 2)
                self.expect([number for group in groups_of_pool if group < len(groups) for number in groups[group]])
            if self.by_length and is_random:
                offsets = BLUR_FRAMES * (2 * torch.rand(len(pool), generator=generator) - 1)
                pool = pool[(self.lengths[pool] + offsets).argsort(stable=True)]
            batches = torch.split(pool, [end - start for start, end in pairwise(ends)])
            places = torch.randperm(len(batches), generator=generator).tolist() if is_random else range(len(batches))
            yield from (batches[place].tolist() for place in places)


def deal_shards(counts: dict[int, int], world_size: int) -> list[list[int]]:
    """Return the numbers of the shards of each process, rising; `counts` is shard -> samples."""
    dealt: list[list[int]] = [[] for _ in range(world_size)]
    sums = [0] * world_size
    for number in sorted(counts, key=lambda one: (-counts[one], one)):
        rank = sums.index(min(sums))
        dealt[rank].append(number)
        sums[rank] += counts[number]
    return [sorted(of_one) for of_one in dealt]
