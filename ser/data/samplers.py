"""Batches by index from tensors that are in memory already, in an order that a resumed run repeats."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

_POOL = 8
"""Batches that are sorted by length together: enough to find company, few enough to leave the order random."""
_BLUR_FRAMES = 10
"""How far a length may seem other than it is when samples are sorted by it."""


class EpochOrder:
    """The order of an epoch's samples: a permutation that follows from the seed and the epoch's number alone.

    So a run that was killed and resumed sees the same batches as one that never stopped; PyTorch's own samplers
    draw from a global generator whose state no checkpoint holds.
    """

    def __init__(self, n_samples: int, *, seed: int) -> None:
        self.n_samples = n_samples
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def generator(self) -> torch.Generator:
        """Return a generator that stands at the beginning of the epoch."""
        return torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))

    def indices(self) -> Tensor:
        """Return int64 [n_samples], each index once."""
        return torch.randperm(self.n_samples, generator=self.generator())


def count_real_frames(features: Tensor) -> Tensor:
    """Return how many frames of float32 [samples, features, frames] lie before the padding, int64 [samples].

    Padding is frames of zeros at the end.
    """
    return torch.stack([sample.any(dim=0).sum() for sample in features])  # one by one: no copy of all as truth values


def epoch_seed(seed: int, epoch: int) -> int:
    """Return a seed for an epoch's random numbers; neighbouring seeds and epochs share none."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


class TensorBatches:
    """Batches selected by index from tensors that are already where they are needed; stands in for a DataLoader.

    Parameters
    ----------
    features : float32 [samples, features, frames].
    labels : int64 [samples].
    order : None goes through the samples as they stand.
    lengths : int64 [samples], frames of a sample that are not padding. If given, samples of like length share a batch
        (sorted within every `_POOL` batches of the order, which are then shuffled), and no batch has more frames than
        its longest sample: half the work on recordings of very different lengths.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        order: EpochOrder | None = None,
        lengths: Tensor | None = None,
    ) -> None:
        self.lengths = lengths
        self.features = features
        self.labels = labels
        self.batch_size = batch_size
        self.order = order
        if order is not None:
            # The names under which Lightning looks for whom to tell the epoch.
            self.sampler, self.batch_sampler = order, None

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in self._chosen():
            features = self.features[chosen]
            if self.lengths is not None:
                features = features[:, :, : int(self.lengths[chosen].max())]
            yield features, self.labels[chosen]

    def _chosen(self) -> Iterator[Tensor]:
        """Yield the indices of each batch, int64 [samples of the batch]."""
        if self.order is None:
            yield from torch.arange(len(self.labels), device=self.labels.device).split(self.batch_size)
            return
        indices = self.order.indices().to(self.labels.device)
        if self.lengths is None:
            yield from indices.split(self.batch_size)
            return
        # Blurred, because length goes with emotion: a calm voice is slow, and a batch of one emotion teaches little.
        generator = self.order.generator()
        blurred = self.lengths + _BLUR_FRAMES * (2 * torch.rand(len(indices), generator=generator) - 1).to(
            indices.device
        )
        pools = [pool[blurred[pool].argsort(stable=True)] for pool in indices.split(_POOL * self.batch_size)]
        batches = [batch for pool in pools for batch in pool.split(self.batch_size)]
        yield from (batches[place] for place in torch.randperm(len(batches), generator=generator).tolist())
