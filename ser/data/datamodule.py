"""The data of a run: find, split, augment, extract; features once in memory, batches by index."""

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
from ser.data.samplers import EpochOrder, TensorBatches
from ser.features.settings import FeatureSettings

log = logging.getLogger(__name__)

_RESCORED = 5
"""Where there is no validation part, one training recording of so many takes its place."""


class EmotionData(L.LightningDataModule):
    """Recordings in, batches of features, lengths and labels out.

    `setup` sets `root` of the corpus, `split`, `prepared` ("train", "validation" and, where there is one, "test") and
    `scaler`.

    Parameters
    ----------
    data_dir : folder of a corpus that no setting names; a download goes there.
    cache_dir : of features.
    seed : of the order of the training samples.
    per_band : whether features are normalised per band (see `ser.models.normalisation`). If so, a training batch holds
        recordings of like length, and no batch has more frames than its longest recording. Else they are normalised per
        coefficient, and every batch has `max_length` frames.
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
        """Load the data into memory; a second call, such as Lightning's own, does nothing."""
        if self._ready:
            return
        self.root = locate_corpus(self.data, data_dir=self.data_dir).resolve()
        recordings = find_recordings(self.root)
        log.info("Corpus: %d recordings in %s", len(recordings), self.root)
        self.split = select(recordings, self.data)
        # Augmented copies are made after the split, so that they stay in the part of their recording.
        copies = [(r, n) for r in self.split.train for n in range(1, augmented_copies(r, self.data) + 1)]
        validation = self.split.validation
        if not validation:  # split "all": the curves then show only that the network learns
            validation = of_channel(self.split.train, self.data.scored_channel)[::_RESCORED]
        train = self._prepare(self.split.train, copies)
        self.prepared = {"train": train, "validation": self._prepare(validation)}
        if self.split.test:
            self.prepared["test"] = self._prepare(self.split.test)
        self.scaler = (
            fit_per_band(train.features, train.lengths) if self.per_band else fit_per_coefficient(train.features)
        )
        self._ready = True
        log.info(
            "Split: %d recordings to train on (%d samples with augmented copies), %d to validate on, %d to test on",
            len(self.split.train),
            len(train.samples),
            len(self.split.validation),
            len(self.split.test),
        )

    def train_dataloader(self) -> TensorBatches:
        tensors = self.tensors("train")
        order = EpochOrder(len(tensors[0]), seed=self.seed)
        return TensorBatches(*tensors, batch_size=self.data.batch_size, order=order, by_length=self.per_band)

    def val_dataloader(self) -> TensorBatches:
        # Larger than in training: the sums are the same, and fewer calls are faster.
        return TensorBatches(
            *self.tensors("validation"), batch_size=max(64, self.data.batch_size), by_length=self.per_band
        )

    def tensors(self, part: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return features float32 [samples, features, frames], lengths and labels int64 [samples].

        They are on the trainer's device, if there is a trainer.
        """
        prepared = self.prepared[part]
        labels = [self.data.classes.index(sample.recording.name.emotion) for sample in prepared.samples]
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return (
            torch.from_numpy(prepared.features).to(device),
            torch.from_numpy(prepared.lengths).to(device),
            torch.tensor(labels, device=device),
        )

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

    def _prepare(self, recordings: Sequence[Recording], copies: Sequence[tuple[Recording, int]] = ()) -> Prepared:
        samples = [Sample(recording=r, copy=n) for r, n in [*((r, 0) for r in recordings), *copies]]
        return prepare(samples, self.recipe, cache_dir=self.cache_dir, workers=self.data.workers)


def format_split(split: Split) -> str:
    """Return which recording is in which part, as CSV of file name, emotion, channel, actor and part."""
    rows = [
        (recording.stem, recording.name.emotion, recording.name.channel, recording.name.actor, part)
        for part in ("train", "validation", "test")
        for recording in getattr(split, part)
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("file", "emotion", "channel", "actor", "part"), *rows])
    return text.getvalue()
