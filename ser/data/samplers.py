"""Which samples are in which batch: an order that a resumed run repeats, of like lengths, shared out over processes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ser.data.storage import StoredFeatures

Batch = tuple[Tensor, ...]
"""Features float32 [batch, features, frames] (float16 of an encoder's states), lengths int64 [batch], labels int64
[batch].

A training batch of several corpora of which some lack classes has a fourth: the classes that the corpus of each sample
has, bool [batch, classes]. One whose recordings come by speakers has always that, and a fifth: a number for the speaker
of each sample, int64 [batch].
"""

POOL = 8
"""Batches that are sorted by length together: enough to find like lengths, few enough to keep the order random."""
BLUR_FRAMES = 10
"""Largest random offset of a length when samples are sorted by it."""


def epoch_seed(seed: int, epoch: int, rank: int = 0) -> int:
    """Return a seed for an epoch's random numbers; neighbouring seeds, epochs and ranks share none."""
    entropy = [seed, epoch, rank] if rank else [seed, epoch]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


class EpochBatchSampler(Sampler[list[int]]):
    """The batches of an epoch, as lists of indices; they follow from the seed and the epoch's number alone.

    So a run that was killed and resumed sees the same batches as one that never stopped; PyTorch's own samplers
    draw from a global generator whose state no checkpoint holds.

    Parameters
    ----------
    lengths : int64 [samples], frames of each sample before the padding.
    batch_size : samples of a batch, of all processes together.
    seed : None takes the samples in their order.
    draws : float64 [samples], equal for samples of one corpus and adding up to the number of samples: how often each is
        drawn in an epoch, on average. None: once.
    by_length : samples of like length share a batch: sorted within every `POOL` batches of the order, which are then
        shuffled.
    is_fixed : every epoch has the batches of the first.
    rank, world_size : every process takes each `world_size`-th sample of every batch, from `rank` on, so that all have
        equally many batches. A last batch with fewer samples than processes joins the one before.
    """

    def __init__(
        self,
        lengths: Tensor,
        *,
        batch_size: int,
        seed: int | None = None,
        draws: Tensor | None = None,
        by_length: bool = False,
        is_fixed: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(lengths) < world_size:
            raise ValueError(f"{len(lengths)} samples are fewer than the {world_size} processes that share them")
        self.lengths, self.batch_size, self.seed, self.by_length = lengths, batch_size, seed, by_length
        self.draws = draws
        self.sampler = self  # Lightning calls `set_epoch` of a batch sampler's own sampler
        self.is_fixed, self.epoch, self.rank, self.world_size = is_fixed, 0, rank, world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = 0 if self.is_fixed else epoch

    def __len__(self) -> int:
        return len(self._split(torch.arange(len(self.lengths))))

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches():
            yield batch[self.rank :: self.world_size].tolist()

    def _batches(self) -> list[Tensor]:
        """Return the indices of each batch of all processes together, int64 [samples of the batch]."""
        if self.seed is None:
            return self._split(torch.arange(len(self.lengths)))
        # The order and the offsets are drawn from two generators that begin alike.
        order, offset = (torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch)) for _ in range(2))
        indices = torch.randperm(len(self.lengths), generator=order)
        if self.draws is not None:
            indices = _drawn(self.draws[indices], indices, generator=order)
        if not self.by_length:
            return self._split(indices)
        # With random offsets, because length depends on emotion: a batch of slow recordings would be mostly calm.
        blurred = self.lengths + BLUR_FRAMES * (2 * torch.rand(len(indices), generator=offset) - 1)
        pools = [pool[blurred[pool].argsort(stable=True)] for pool in torch.split(indices, POOL * self.batch_size)]
        batches = self._split(torch.cat(pools))
        return [batches[place] for place in torch.randperm(len(batches), generator=offset).tolist()]

    def _split(self, indices: Tensor) -> list[Tensor]:
        batches = list(torch.split(indices, self.batch_size))
        if len(batches) > 1 and len(batches[-1]) < self.world_size:
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches


class SpeakerBatchSampler(Sampler[list[int]]):
    """Batches of a few recordings each of a few speakers, so that a batch holds the context of its own recordings.

    They follow from the seed and the epoch's number alone. A group has `per_speaker` different recordings of one
    speaker, or all that there are, and where samples are versions of a recording (itself and augmented copies), one of
    these, the same of all. Within an epoch a speaker's recordings come again only after all groups that they make have
    come. A speaker has as many groups as its recordings have a share in the epoch.

    Parameters
    ----------
    speakers : int64 [samples].
    recordings : int64 [samples], equal for the versions of a recording.
    batch_size : samples of a batch, of all processes together; a multiple of `per_speaker`.
    seed : of the order.
    draws : float64 [samples], a sample's share in an epoch; None: all have the same.
    rank, world_size : every process takes each `world_size`-th group of every batch, from `rank` on.
    """

    def __init__(
        self,
        speakers: Tensor,
        recordings: Tensor,
        *,
        batch_size: int,
        per_speaker: int,
        seed: int,
        draws: Tensor | None = None,
        is_fixed: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.batch_size, self.per_speaker, self.seed, self.is_fixed = batch_size, per_speaker, seed, is_fixed
        self.rank, self.world_size = rank, world_size
        self.epoch, self.sampler = 0, self
        self.versions: dict[int, list[list[int]]] = {}
        shares: dict[int, float] = {}
        by_recording: dict[tuple[int, int], list[int]] = {}
        weights = [1.0] * len(speakers) if draws is None else draws.tolist()
        for index, (speaker, recording) in enumerate(zip(speakers.tolist(), recordings.tolist(), strict=True)):
            by_recording.setdefault((speaker, recording), []).append(index)
            shares[speaker] = shares.get(speaker, 0.0) + weights[index]
        for (speaker, _), indices in by_recording.items():
            self.versions.setdefault(speaker, []).append(indices)
        self.n_groups = -(-len(by_recording) // per_speaker)
        share = torch.tensor(list(shares.values()), dtype=torch.float64)
        self.groups_of_speaker = share / share.sum() * self.n_groups

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = 0 if self.is_fixed else epoch

    def __len__(self) -> int:
        return -(-self.n_groups // (self.batch_size // self.per_speaker))

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        names = list(self.versions)
        order = torch.randperm(len(names), generator=generator)
        times = _counts(self.groups_of_speaker[order], self.n_groups, generator=generator).tolist()
        groups = [
            group
            for place, number in zip(order.tolist(), times, strict=True)
            for group in self._groups(self.versions[names[place]], number, generator)
        ]
        places = torch.randperm(len(groups), generator=generator).tolist()
        size = self.batch_size // self.per_speaker
        for start in range(0, len(places), size):
            of_batch = places[start : start + size]
            mine = of_batch[self.rank :: self.world_size] or of_batch[:1]
            yield [index for place in mine for index in groups[place]]

    def _groups(self, recordings: list[list[int]], number: int, generator: torch.Generator) -> Iterator[list[int]]:
        size = min(self.per_speaker, len(recordings))
        waiting: list[int] = []
        for _ in range(number):
            if len(waiting) < size:
                waiting = torch.randperm(len(recordings), generator=generator).tolist()
            version = float(torch.rand((), generator=generator))
            group, waiting = waiting[:size], waiting[size:]
            yield [recordings[one][int(version * len(recordings[one]))] for one in group]


def _counts(expected: Tensor, total: int, *, generator: torch.Generator) -> Tensor:
    """Return how often each is drawn, int64 [members], `total` times in all.

    The whole part of an expected number is certain, and chance decides on its fraction: the numbers of all, float64
    [members] in random order, are laid end to end from a random point on, and each is drawn once for every whole number
    in its stretch (systematic sampling).
    """
    ends = (expected.cumsum(0) + torch.rand((), dtype=torch.float64, generator=generator)).floor()
    ends[-1] = total  # whatever the rounding of the sum
    return torch.diff(ends, prepend=ends.new_zeros(1)).long()


def _drawn(draws: Tensor, indices: Tensor, *, generator: torch.Generator) -> Tensor:
    """Return as many of `indices`, int64 [samples] in random order, each about as often as `draws` says."""
    drawn = indices.repeat_interleave(_counts(draws, len(indices), generator=generator))
    return drawn[torch.randperm(len(drawn), generator=generator)]


class FeatureDataset(Dataset[Batch]):
    """Samples from tensors that are in memory already, on any device, or that are read from the cache, on the CPU.

    Parameters
    ----------
    features : float32 [samples, features, frames].
    lengths : int64 [samples], frames of each sample before the padding.
    labels : int64 [samples].
    allowed : bool [samples, classes], the classes that the corpus of each sample has; None: no batch has this entry.
    speakers : int64 [samples], a number for the speaker of each; None: no batch has this entry.
    crop : a batch has no more frames than its longest sample; else it has all of them.
    """

    def __init__(
        self,
        features: Tensor | StoredFeatures,
        lengths: Tensor,
        labels: Tensor,
        allowed: Tensor | None = None,
        speakers: Tensor | None = None,
        *,
        crop: bool = False,
    ) -> None:
        self.features, self.lengths, self.labels, self.crop = features, lengths, labels, crop
        self.more = [more for more in (allowed, speakers) if more is not None]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self._features([index])[0], self.lengths[index], self.labels[index], *(more[index] for more in self.more)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return a whole batch by one selection, many times faster than sample by sample."""
        chosen = torch.tensor(indices, device=self.labels.device)
        features, lengths = self._features(indices), self.lengths[chosen]
        if self.crop:
            features = features[:, :, : int(lengths.max())]
        return features, lengths, self.labels[chosen], *(more[chosen] for more in self.more)

    def _features(self, indices: Sequence[int]) -> Tensor:
        if isinstance(self.features, Tensor):
            return self.features[torch.tensor(indices, device=self.features.device)]
        return torch.from_numpy(self.features[indices])


def feature_loader(dataset: FeatureDataset, batches: Sampler[list[int]]) -> "DataLoader[Batch]":
    """Return the loader of the batches; it draws no number from PyTorch's global generator."""
    return DataLoader(dataset, batch_sampler=batches, collate_fn=_unchanged, generator=torch.Generator())


def _unchanged(batch: Any) -> Any:
    return batch
