"""The data of a run: find, split, augment, extract; features once in memory or in the cache, batches by index."""

import csv
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.parsing import AttributeDict
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.utils.data import DataLoader

from ser.augment.waveform import AugmentSettings
from ser.corpora.manifest import Recording
from ser.corpora.selection import DataSettings, augmented_copies, classes_found, select
from ser.corpora.several import allowed_classes, expected_draws, locate_corpora, read_corpora
from ser.corpora.splits import Split
from ser.data.cache import Prepared, prepare
from ser.data.files import waiting_lock
from ser.data.normalisation import fit_per_band, fit_per_coefficient
from ser.data.processes import is_one_of_several
from ser.data.recipe import Recipe, Sample
from ser.data.samplers import Batch, EpochBatchSampler, FeatureDataset, SpeakerBatchSampler, feature_loader
from ser.data.sharded import ShardBatchSampler, ShardedFeatures
from ser.data.shards import read_index, validation_part
from ser.data.states import Encode, store_states
from ser.data.storage import StoredFeatures, fits_in_memory
from ser.errors import SettingsError
from ser.features.settings import FeatureSettings

log = logging.getLogger(__name__)

MOST_FITTED = 20_000
"""Training samples that the statistics and the utterance-level head are fitted to: more would hardly change them."""


class EmotionData(L.LightningDataModule):
    """Recordings in, batches of features, lengths and labels out.

    `setup` sets `places` of the corpora, `split`, `prepared` ("train", "validation" and, where there is one, "test")
    and `scaler`.

    Parameters
    ----------
    data_dir : folder of a corpus that no setting names; a download goes there.
    cache_dir : of features.
    seed : of the order of the training samples.
    per_band : whether features are normalised per band (see `ser.models.normalisation`). If so, a training batch holds
        recordings of like length, and no batch has more frames than its longest recording. Else they are normalised per
        coefficient, and every batch has `max_length` frames.
    """

    places: dict[str, Path]
    split: Split
    prepared: dict[str, Prepared]
    scaler: StandardScaler

    def __init__(
        self,
        data: DataSettings,
        *,
        features: FeatureSettings,
        augment: AugmentSettings | Callable[..., Any],
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

    @property
    def hparams_initial(self) -> AttributeDict:
        """What a subclass has saved by `save_hyperparameters`, as far as loggers take it: plain values."""
        saved = super().hparams_initial
        return AttributeDict({name: value for name, value in saved.items() if isinstance(value, int | float | str)})

    def prepare_data(self) -> None:
        """Find or download the corpus and fill the feature cache: the first process of a machine does it."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Load the data; a second call, such as Lightning's own, does nothing."""
        if self._ready:
            return
        if self.data.shards is not None:
            self._load_shards(Path(self.data.shards))
        elif is_one_of_several():  # the first to come fills the cache, and the others read it
            with waiting_lock(self.cache_dir / ".lock"):
                self._load()
        else:
            self._load()
        self._ready = True

    def _load(self) -> None:
        self.places = locate_corpora(self.data, data_dir=self.data_dir)
        recordings = read_corpora(self.data, self.places)
        log.info("Corpus: %d recordings in %s", len(recordings), ", ".join(map(str, self.places.values())))
        if self.data.classes is None:
            self.data = replace(self.data, classes=classes_found(recordings, self.data))
        self.split = select(recordings, self.data)
        # Augmented copies are made after the split, so that they stay in the part of their recording.
        copies = [(r, n) for r in self.split.train for n in range(1, augmented_copies(r, self.data) + 1)]
        validation = validation_part(self.split, self.data)
        n_samples = sum(map(len, (self.split.train, copies, validation, self.split.test)))
        self._in_memory = fits_in_memory(n_samples, self.recipe.features, memory_gb=self.data.memory_gb)
        train = self._prepare(self.split.train, copies)
        self.prepared = {"train": train, "validation": self._prepare(validation)}
        if self.split.test:
            self.prepared["test"] = self._prepare(self.split.test)
        rows = self.rows_to_fit()
        features, lengths = _chosen(train.features, rows), train.lengths if rows is None else train.lengths[rows]
        self.scaler = fit_per_band(features, lengths) if self.per_band else fit_per_coefficient(features)
        log.info(
            "Split: %d recordings to train on (%d samples with augmented copies), %d to validate on, %d to test on",
            len(self.split.train),
            len(train.samples),
            len(self.split.validation),
            len(self.split.test),
        )

    def _load_shards(self, folder: Path) -> None:
        """Read which samples there are, from the index of the shards alone; no shard is opened."""
        index = read_index(folder, self.data, self.recipe)
        self.data = replace(self.data, classes=tuple(index.about["classes"]))
        self.places = {name: Path(place) for name, place in index.about["places"].items()}
        self.split, self.prepared = index.split, {}
        n_features, max_length = index.about["shape"]
        for part, of_part in index.parts.items():
            features = ShardedFeatures(
                folder / part,
                of_part.shards,
                of_part.rows,
                shape=(n_features, max_length),
                dtype=index.about["dtype"],
            )
            self.prepared[part] = Prepared(
                samples=of_part.samples, features=features, lengths=of_part.lengths, failures=of_part.failures
            )
        self.scaler = index.statistics["per_band" if self.per_band else "per_coefficient"].scaler()
        counts = ", ".join(f"{len(one.samples)} {part}" for part, one in self.prepared.items())
        log.info("Shards in %s: samples %s", folder, counts)

    def use_states(self, encode: Encode, *, key: str, n_rows: int) -> None:
        """Let the states of a frozen encoder take the place of the waveforms in every part; called after `setup`.

        Parameters
        ----------
        key : tells the encoder from others, in the cache.
        n_rows : of the states of a frame.
        """
        if self.data.shards is not None:
            raise SettingsError(
                "data.shards is not for a frozen encoder, whose states are kept one by one; leave it out."
            )
        with waiting_lock(self.cache_dir / ".lock"):  # where several processes train, the first to come makes them
            for part, prepared in self.prepared.items():
                states = store_states(
                    prepared.features, prepared.lengths, encode, key=key, n_rows=n_rows, cache_dir=self.cache_dir
                )
                self.prepared[part] = replace(prepared, features=states)

    def train_dataloader(self) -> "DataLoader[Batch]":
        return self._loader("train", batch_size=self.data.batch_size, seed=self.seed)

    def val_dataloader(self) -> "DataLoader[Batch]":
        # Larger than in training: the sums are the same, and fewer calls are faster.
        return self._loader("validation", batch_size=max(64, self.data.batch_size))

    def test_dataloader(self) -> "DataLoader[Batch]":
        """Return the batches of the test part; where there is none, of the validation part."""
        part = "test" if "test" in self.prepared else "validation"
        return self._loader(part, batch_size=max(64, self.data.batch_size))

    def predict_dataloader(self) -> "DataLoader[Batch]":
        """Return the batches of `test_dataloader`."""
        return self.test_dataloader()

    def _loader(self, part: str, *, batch_size: int, seed: int | None = None) -> "DataLoader[Batch]":
        trainer, lengths = self.trainer, torch.from_numpy(self.prepared[part].lengths)
        n_processes = trainer.world_size if trainer else 1
        if len(lengths) < n_processes:
            raise SettingsError(f"trainer.devices is {n_processes}, but the {part} part has {len(lengths)} samples.")
        if batch_size < n_processes:
            raise SettingsError(
                f"data.batch_size is {batch_size}, too few for {n_processes} devices; give {n_processes} or more."
            )
        if part == "train" and self.data.recordings_per_speaker is not None and seed is not None:
            return self._loader_by_speaker(batch_size=batch_size, seed=seed)
        # A run that overfits a few batches sees the same ones in each epoch.
        is_fixed, rank = bool(getattr(trainer, "overfit_batches", 0)), trainer.global_rank if trainer else 0
        features = self.prepared[part].features
        batches: ShardBatchSampler | EpochBatchSampler
        if isinstance(features, ShardedFeatures):
            batches = ShardBatchSampler(
                features.shards,
                lengths,
                batch_size=batch_size,
                seed=seed,
                buffer=self.data.shuffle_shards if part == "train" else 1,
                by_length=self.per_band,
                is_fixed=is_fixed,
                rank=rank,
                world_size=n_processes,
                expect=features.expect,
            )
        else:
            batches = EpochBatchSampler(
                lengths,
                batch_size=batch_size,
                seed=seed,
                draws=self.draws(part) if part == "train" else None,
                by_length=self.per_band,
                is_fixed=is_fixed,
                rank=rank,
                world_size=n_processes,
            )
        allowed = self.allowed(part) if part == "train" else None
        return feature_loader(FeatureDataset(*self.tensors(part), allowed, crop=self.per_band), batches)

    def _loader_by_speaker(self, *, batch_size: int, seed: int) -> "DataLoader[Batch]":
        trainer, per_speaker = self.trainer, self.data.recordings_per_speaker
        assert per_speaker is not None
        features, lengths, labels = self.tensors("train")
        allowed, speakers = self.allowed("train"), self.speakers("train")
        if allowed is None:
            allowed = torch.ones(len(labels), len(self.class_names), dtype=torch.bool, device=labels.device)
        batches = SpeakerBatchSampler(
            speakers,
            _numbered([sample.recording.id for sample in self.prepared["train"].samples]),
            batch_size=batch_size,
            per_speaker=per_speaker,
            seed=seed,
            draws=self.draws("train"),
            is_fixed=bool(getattr(trainer, "overfit_batches", 0)),
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )
        dataset = FeatureDataset(features, lengths, labels, allowed, speakers.to(labels.device), crop=self.per_band)
        return feature_loader(dataset, batches)

    def speakers(self, part: str) -> Tensor:
        """Return a number for the speaker of each sample, int64 [samples]; one that is not known has one recording."""
        recordings = [sample.recording for sample in self.prepared[part].samples]
        return _numbered([r.speaker or f"?{r.id}" for r in recordings])

    def rows_to_fit(self) -> NDArray[np.int64] | None:
        """Return the training samples that statistics and the utterance-level head are fitted to; None: all of them.

        Of more than `MOST_FITTED`, so many are drawn by the seed: int64, in rising order.
        """
        n_samples = len(self.prepared["train"].samples)
        if n_samples <= MOST_FITTED:
            return None
        if self.data.shards is not None:  # their samples are in random order, so that a few shards are read
            return np.arange(MOST_FITTED)
        drawn = np.random.default_rng(self.seed).choice(n_samples, MOST_FITTED, replace=False)
        return np.sort(drawn).astype(np.int64)

    def tensors(
        self, part: str, rows: NDArray[np.int64] | None = None
    ) -> tuple[Tensor | StoredFeatures, Tensor, Tensor]:
        """Return features float32 [samples, features, frames], lengths and labels int64 [samples]; `rows` of them only.

        They are on the trainer's device, if there is a trainer. Features that stay in the cache are no tensor, and
        lengths and labels are then on the CPU, as the batches are that are read.
        """
        prepared = self.prepared[part]
        chosen = slice(None) if rows is None else rows
        labels = self.labels(part)[chosen]
        features, lengths = _chosen(prepared.features, rows), torch.from_numpy(prepared.lengths[chosen])
        device = self._device(part)
        on_device = features if isinstance(features, StoredFeatures) else torch.from_numpy(features).to(device)
        return on_device, lengths.to(device), labels.to(device)

    def labels(self, part: str) -> Tensor:
        """Return the number of the class of each sample, int64 [samples], on the CPU."""
        numbers = {name: number for number, name in enumerate(self.class_names)}
        return torch.tensor([numbers[sample.recording.emotion] for sample in self.prepared[part].samples])

    def _device(self, part: str) -> torch.device:
        """Return where the tensors of a part are: batches that are read from the cache are made on the CPU."""
        if self.trainer is None or isinstance(self.prepared[part].features, StoredFeatures):
            return torch.device("cpu")
        device: torch.device = self.trainer.strategy.root_device
        return device

    def allowed(self, part: str) -> Tensor | None:
        """Return which classes have a part in the loss of each sample, bool [samples, classes]; None: all, always.

        They are those that its corpus has, and those that it lacks but for `data.overlapping_classes`. It is where the
        labels are.
        """
        if self.data.corpora is None:
            return None
        found = allowed_classes(
            (r for p in (self.split.train, self.split.validation, self.split.test) for r in p),
            self.class_names,
            self.data.overlapping_classes,
        )
        if found is None:
            return None
        device = self._device(part)
        recordings = [sample.recording for sample in self.prepared[part].samples]
        return torch.tensor([found[one.corpus, one.emotion] for one in recordings], device=device)

    def draws(self, part: str) -> Tensor | None:
        """Return how often each sample is drawn in an epoch, float64 [samples], by `data.weights`; None: once."""
        corpora = [sample.recording.corpus for sample in self.prepared[part].samples]
        found = expected_draws(corpora, self.data)
        return None if found is None else torch.tensor([found[c] for c in corpora], dtype=torch.float64)

    def groups(self, part: str) -> Tensor:
        """Return int64 [samples], equal for samples of one speaker, emotion and channel.

        A recording whose speaker is not known is a group of its own, with its copies.
        """
        recordings = [sample.recording for sample in self.prepared[part].samples]
        keys = [(r.speaker or f"?{r.id}", r.emotion, r.channel) for r in recordings]
        return _numbered(keys)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the labels; known after `setup`, where the settings name none."""
        if self.data.classes is None:
            raise RuntimeError("the classes are known once the corpus is read: call setup() first")
        return self.data.classes

    @property
    def failures(self) -> dict[Path, str]:
        """Recordings that could not be read, and why."""
        return {one.path: reason for part in self.prepared.values() for one, reason in part.failures.items()}

    def _prepare(self, recordings: Sequence[Recording], copies: Sequence[tuple[Recording, int]] = ()) -> Prepared:
        samples = [Sample(recording=r, copy=n) for r, n in [*((r, 0) for r in recordings), *copies]]
        return prepare(
            samples, self.recipe, cache_dir=self.cache_dir, workers=self.data.workers, in_memory=self._in_memory
        )


def _numbered(keys: Sequence[Any]) -> Tensor:
    """Return int64 [keys], equal where keys are."""
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return torch.tensor([numbers[key] for key in keys])


def _chosen(
    features: NDArray[np.float32] | StoredFeatures, rows: NDArray[np.int64] | None
) -> NDArray[np.float32] | StoredFeatures:
    """Return the features of some samples, without reading any; None: of all."""
    if rows is None:
        return features
    return features.of(rows) if isinstance(features, StoredFeatures) else features[rows]


def format_split(split: Split) -> str:
    """Return which recording is in which part, as CSV of name, emotion, channel, speaker, corpus and part."""
    rows = (
        (recording.id, recording.emotion, recording.channel, recording.speaker, recording.corpus, part)
        for part in ("train", "validation", "test")
        for recording in getattr(split, part)
    )
    text = io.StringIO()
    names = ("file", "emotion", "channel", "speaker", "corpus", "part")
    csv.writer(text, lineterminator="\n").writerows(chain([names], rows))
    return text.getvalue()
