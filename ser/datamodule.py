"""The data of a run: collect, split, augment, extract; features in memory once, batches by index."""

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import lightning as L
import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ser.augment import AugmentSettings
from ser.corpus.recordings import Recording, find_recordings
from ser.corpus.selection import DataSettings, copies_of, locate_corpus, select
from ser.corpus.splits import Split
from ser.features import FeatureSettings
from ser.preparation import Prepared, Recipe, Sample, prepare
from ser.scaling import fit_scaler

log = logging.getLogger(__name__)


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

    def indices(self) -> Tensor:
        """Return int64 [n_samples], each index once."""
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        return torch.randperm(self.n_samples, generator=generator)


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
    """

    def __init__(self, features: Tensor, labels: Tensor, *, batch_size: int, order: EpochOrder | None = None) -> None:
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
        if self.order is None:
            yield from zip(self.features.split(self.batch_size), self.labels.split(self.batch_size), strict=True)
            return
        for chosen in self.order.indices().to(self.labels.device).split(self.batch_size):
            yield self.features[chosen], self.labels[chosen]


class EmotionData(L.LightningDataModule):
    """Recordings in, batches of features and labels out.

    After `setup`: `root` of the corpus, `split`, `prepared` ("train", "validation" and "test", where there is one) and
    `scaler` are there.

    Parameters
    ----------
    data_dir : where a corpus lies, or is put, that no setting names.
    cache_dir : of features.
    seed : of the order of the training samples.
    """

    root: Path
    split: Split
    prepared: dict[str, Prepared]
    scaler: StandardScaler

    def __init__(
        self,
        data: DataSettings,
        *,
        features: FeatureSettings,
        augment: AugmentSettings,
        data_dir: Path,
        cache_dir: Path,
        seed: int,
    ) -> None:
        super().__init__()
        self.data = data
        self.recipe = Recipe(features=features, augment=augment, augment_seed=data.augment_seed)
        self.data_dir = data_dir
        self.cache_dir = cache_dir
        self.seed = seed
        self._ready = False

    def setup(self, stage: str | None = None) -> None:
        """Bring the data into memory; a second call, such as Lightning's own, does nothing."""
        if self._ready:
            return
        self.root = locate_corpus(self.data, data_dir=self.data_dir).resolve()
        recordings = find_recordings(self.root)
        log.info("Corpus: %d recordings in %s", len(recordings), self.root)
        self.split = select(recordings, self.data)
        # The copies of a recording are made here, after the split, so they cannot stand on the other side of it.
        copies = [Sample(recording=r, copy=n) for r in self.split.train for n in range(1, copies_of(r, self.data) + 1)]
        self.prepared = {"train": self._prepare([*map(_as_it_is, self.split.train), *copies])}
        self.prepared["validation"] = self._prepare(list(map(_as_it_is, self.split.validation)))
        if self.split.test:
            self.prepared["test"] = self._prepare(list(map(_as_it_is, self.split.test)))
        self.scaler = fit_scaler(self.prepared["train"].features)
        self._ready = True
        log.info(
            "Split: %d recordings to train on (%d samples with augmented copies), %d to validate on, %d to test on",
            len(self.split.train),
            len(self.prepared["train"].samples),
            len(self.split.validation),
            len(self.split.test),
        )

    def train_dataloader(self) -> TensorBatches:
        features, labels = self.tensors("train")
        order = EpochOrder(len(labels), seed=self.seed)
        return TensorBatches(features, labels, batch_size=self.data.batch_size, order=order)

    def val_dataloader(self) -> TensorBatches:
        features, labels = self.tensors("validation")
        # Larger than in training: the sums are the same, and fewer calls are faster.
        return TensorBatches(features, labels, batch_size=max(64, self.data.batch_size))

    def tensors(self, part: str) -> tuple[Tensor, Tensor]:
        """Return float32 [samples, features, frames] and int64 [samples], on the trainer's device if there is one."""
        prepared = self.prepared[part]
        labels = [self.data.classes.index(sample.recording.name.emotion) for sample in prepared.samples]
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return torch.from_numpy(prepared.features).to(device), torch.tensor(labels, device=device)

    @property
    def failures(self) -> dict[Path, str]:
        """Recordings that could not be read, and why."""
        return {path: reason for part in self.prepared.values() for path, reason in part.failures.items()}

    def _prepare(self, samples: Sequence[Sample]) -> Prepared:
        return prepare(samples, self.recipe, cache_dir=self.cache_dir, workers=self.data.workers)


def format_split(split: Split) -> str:
    """Return which recording stands on which side, as CSV of file name, emotion, channel, actor and part."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "emotion", "channel", "actor", "part"])
    for part in ("train", "validation", "test"):
        for recording in getattr(split, part):
            name = recording.name
            writer.writerow([recording.stem, name.emotion, name.channel, name.actor, part])
    return text.getvalue()


def _as_it_is(recording: Recording) -> Sample:
    return Sample(recording=recording)
