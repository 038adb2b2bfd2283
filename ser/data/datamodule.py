"""The data of a run: collect, split, augment, extract; features in memory once, batches by index."""

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import lightning as L
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ser.augment.waveform import AugmentSettings
from ser.corpora.manifest import Recording, find_recordings
from ser.corpora.selection import DataSettings, augmented_copies, locate_corpus, of_channel, select
from ser.corpora.splits import Split
from ser.data.cache import Prepared, Recipe, Sample, prepare
from ser.data.normalisation import fit_per_band, fit_per_coefficient
from ser.data.samplers import EpochOrder, TensorBatches, count_real_frames
from ser.features.extract import FeatureSettings

log = logging.getLogger(__name__)

_RESCORED = 5
"""Where nothing is held out, one training recording of so many stands in for the validation part."""


class EmotionData(L.LightningDataModule):
    """Recordings in, batches of features and labels out.

    After `setup`: `root` of the corpus, `split`, `prepared` ("train", "validation" and "test", where there is one) and
    `scaler` are there.

    Parameters
    ----------
    data_dir : where a corpus lies, or is put, that no setting names.
    cache_dir : of features.
    seed : of the order of the training samples.
    per_band : how features are standardised (see `ser.models.recogniser.ARCHITECTURES`). If so, a training batch holds
        recordings of like length, and no batch is longer than its longest recording.
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
        per_band: bool = False,
    ) -> None:
        super().__init__()
        self.data = data
        self.per_band = per_band
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
        copies = [
            Sample(recording=r, copy=n) for r in self.split.train for n in range(1, augmented_copies(r, self.data) + 1)
        ]
        self.prepared = {"train": self._prepare([*map(_as_it_is, self.split.train), *copies])}
        validation = self.split.validation
        if not validation:  # split "all": the curves then show that it learns, and no more
            validation = of_channel(self.split.train, self.data.scored_channel)[::_RESCORED]
        self.prepared["validation"] = self._prepare(list(map(_as_it_is, validation)))
        if self.split.test:
            self.prepared["test"] = self._prepare(list(map(_as_it_is, self.split.test)))
        fit = fit_per_band if self.per_band else fit_per_coefficient
        self.scaler = fit(self.prepared["train"].features)
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
        lengths = count_real_frames(features) if self.per_band else None
        return TensorBatches(features, labels, batch_size=self.data.batch_size, order=order, lengths=lengths)

    def val_dataloader(self) -> TensorBatches:
        features, labels = self.tensors("validation")
        # Larger than in training: the sums are the same, and fewer calls are faster.
        lengths = count_real_frames(features) if self.per_band else None
        return TensorBatches(features, labels, batch_size=max(64, self.data.batch_size), lengths=lengths)

    def tensors(self, part: str) -> tuple[Tensor, Tensor]:
        """Return float32 [samples, features, frames] and int64 [samples], on the trainer's device if there is one."""
        prepared = self.prepared[part]
        labels = [self.data.classes.index(sample.recording.name.emotion) for sample in prepared.samples]
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return torch.from_numpy(prepared.features).to(device), torch.tensor(labels, device=device)

    def groups(self, part: str) -> Tensor:
        """Return int64 [samples], equal for samples of one actor, emotion and channel."""
        names = [sample.recording.name for sample in self.prepared[part].samples]
        keys = [(name.actor, name.emotion, name.channel) for name in names]
        numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
        return torch.tensor([numbers[key] for key in keys])

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
