"""Batches by index from tensors that are in memory already, in an order that a resumed run repeats."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

_POOL = 8
"""Batches that are sorted by length together: enough to find like lengths, few enough to keep the order random."""
_BLUR_FRAMES = 10
"""Largest random offset of a length when samples are sorted by it."""


class EpochOrder:
    """The order of an epoch's samples: a permutation that follows from the seed and the epoch's number alone.

    So a run that was killed and resumed sees the same batches as one that never stopped; PyTorch's own samplers
    draw from a global generator whose state no checkpoint holds.
    """

    def __init__(self, n_samples: int, *, seed: int) -> None:
        self.n_samples, self.seed, self.epoch = n_samples, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def generator(self) -> torch.Generator:
        """Return a generator that stands at the beginning of the epoch."""
        return torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))

    def indices(self) -> Tensor:
        """Return int64 [n_samples], each index once."""
        return torch.randperm(self.n_samples, generator=self.generator())


def epoch_seed(seed: int, epoch: int) -> int:
    """Return a seed for an epoch's random numbers; neighbouring seeds and epochs share none."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


class TensorBatches:
    """Batches selected by index from tensors that are already where they are needed; stands in for a DataLoader.

    Parameters
    ----------
    features : float32 [samples, features, frames].
    lengths : int64 [samples], frames of each sample before the padding.
    labels : int64 [samples].
    order : None takes the samples in their order.
    by_length : samples of like length share a batch (sorted within every `_POOL` batches of the order, which are then
        shuffled), and a batch has no more frames than its longest sample: half the work on recordings of very different
        lengths.
    """

    def __init__(
        self,
        features: Tensor,
        lengths: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        order: EpochOrder | None = None,
        by_length: bool = False,
    ) -> None:
        self.features, self.lengths, self.labels = features, lengths, labels
        self.batch_size, self.order, self.by_length = batch_size, order, by_length
        if order is not None:
            # Lightning looks for `set_epoch` under these names.
            self.sampler, self.batch_sampler = order, None

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for chosen in self._chosen():
            features, lengths = self.features[chosen], self.lengths[chosen]
            if self.by_length:
                features = features[:, :, : int(lengths.max())]
            yield features, lengths, self.labels[chosen]

    def _chosen(self) -> Iterator[Tensor]:
        """Yield the indices of each batch, int64 [samples of the batch]."""
        if self.order is None:
            yield from torch.split(torch.arange(len(self.labels), device=self.labels.device), self.batch_size)
            return
        indices = self.order.indices().to(self.labels.device)
        if not self.by_length:
            yield from torch.split(indices, self.batch_size)
            return
        # With random offsets, because length depends on emotion: a batch of slow recordings would be mostly calm.
        generator = self.order.generator()
        offsets = _BLUR_FRAMES * (2 * torch.rand(len(indices), generator=generator) - 1).to(indices.device)
        blurred = self.lengths + offsets
        pools = [pool[blurred[pool].argsort(stable=True)] for pool in torch.split(indices, _POOL * self.batch_size)]
        batches = [batch for pool in pools for batch in torch.split(pool, self.batch_size)]
        yield from (batches[place] for place in torch.randperm(len(batches), generator=generator).tolist())
