"""The Lightning module: loss, metrics, optimiser, learning rate; all of training and nothing of the network."""

import logging
from collections.abc import Sequence
from dataclasses import field
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import MetricCollection

from ser.augment.specaugment import mask_spectrogram, mix
from ser.augment.spectrogram import SpectrogramAugmentSettings, change_sound
from ser.data.samplers import epoch_seed
from ser.features.validation import Fraction, FractionBelowOne, PositiveNumber, as_plain, settings_dataclass
from ser.inference.checkpoint import ENTRY
from ser.models.metadata import ModelMetadata
from ser.models.recogniser import Recogniser
from ser.training.metrics import METRICS, epoch_metrics
from ser.training.optimiser import OptimiserSettings, SchedulerSettings, build_optimiser, build_schedule

log = logging.getLogger(__name__)

MONITORED = tuple(f"{part}/{name}" for part in ("val", "train") for name in METRICS)
"""What is logged once an epoch, and can be monitored."""


@settings_dataclass
class ModelSettings:
    """The group `model`: an architecture by name, its settings, and how it is trained.

    Attributes
    ----------
    lr : the learning rate, of a one-cycle schedule the highest.
    label_smoothing : fraction of the target that is spread over all classes, in [0, 1) (Szegedy et al. 2016,
        arXiv:1512.00567).
    class_weight_power : the loss of a class is weighted by (mean count / its count) to this power, in [0, 1]; the
        counts are those of the training part. 0: all classes weigh the same.
    """

    name: str = "cnn_bilstm_luong"
    network: dict[str, Any] = field(default_factory=dict)
    lr: PositiveNumber = 1e-4
    label_smoothing: FractionBelowOne = 0.0
    class_weight_power: Fraction = 0.0
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)


class EmotionClassifier(L.LightningModule):
    """Train a recogniser's network with cross-entropy; its utterance-level head, if it has one, is fitted already.

    Parameters
    ----------
    spectrogram : how training batches are augmented; for log-mel features and networks with per-band normalisation.
    class_counts : training samples of each class, for `settings.class_weight_power`.

    Attributes
    ----------
    recogniser : the online model in training steps. Where `EmaWeightAveraging` is among the callbacks, it has the EMA
        weights in validation, in checkpoints and after training.
    history : one row an epoch, name -> value: the learning curve. It is in the checkpoint, so a resumed run goes on
        with it.
    """

    class_weights: Tensor
    draws: torch.Generator

    def __init__(
        self,
        recogniser: Recogniser,
        *,
        metadata: ModelMetadata,
        settings: ModelSettings,
        seed: int,
        spectrogram: SpectrogramAugmentSettings | None = None,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.metadata = metadata
        self.settings = settings
        self.spectrogram = spectrogram or SpectrogramAugmentSettings()
        self.seed = seed
        self.history: list[dict[str, float]] = []
        n_classes = len(metadata.class_names)
        counts = torch.tensor(class_counts or [1] * n_classes, dtype=torch.float32)
        weights = (counts[counts > 0].mean() / counts) ** settings.class_weight_power
        # A class without training samples has no weight: smoothed targets would train it too.
        self.register_buffer("class_weights", weights.where(counts > 0, 0), persistent=False)
        self.train_metrics, self.val_metrics = epoch_metrics(n_classes), epoch_metrics(n_classes)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map features and lengths to logits [batch, classes] and attention weights [batch, frames']."""
        result: tuple[Tensor, Tensor] = self.recogniser(features, lengths)
        return result

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        settings, lr = self.settings, self.settings.lr
        optimiser = build_optimiser(self.recogniser, settings.optimiser, lr=lr, on_gpu=self.device.type == "cuda")
        n_steps = int(self.trainer.estimated_stepping_batches)
        schedule = build_schedule(optimiser, settings.scheduler, lr=lr, n_steps=n_steps)
        if isinstance(schedule, ReduceLROnPlateau):
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "monitor": "val/loss"}}
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: LRScheduler | ReduceLROnPlateau, metric: float | None) -> None:
        """Step, but not on a plateau: Lightning would step after the checkpoint, which would lack it."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def on_train_epoch_start(self) -> None:
        # The random numbers of dropout and augmentation follow from the epoch, as the order of the samples does, so
        # that a resumed run draws what an unbroken one draws.
        seed = epoch_seed(self.seed, self.current_epoch)
        torch.manual_seed(seed)
        self.draws = torch.Generator().manual_seed(seed)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        features, lengths, labels = batch
        if self.spectrogram.changes_anything:
            one_hot = F.one_hot(labels, len(self.metadata.class_names)).float()
            logits, targets = self._augmented(features, lengths, one_hot)
        else:
            logits, targets = self.recogniser.network_logits(features, lengths)[0], labels
        weight = self.class_weights if self.settings.class_weight_power else None
        loss = F.cross_entropy(logits, targets, weight=weight, label_smoothing=self.settings.label_smoothing)
        _update(self.train_metrics, loss, logits, labels)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        features, lengths, labels = batch
        logits, _ = self.recogniser(features, lengths)
        _update(self.val_metrics, F.cross_entropy(logits, labels), logits, labels)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(_read("val", self.val_metrics))

    def on_train_epoch_end(self) -> None:
        row = _read("train", self.train_metrics)
        self.log_dict(row)
        row |= {name: float(self.trainer.callback_metrics[name]) for name in MONITORED if name.startswith("val/")}
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.history.append({"epoch": self.current_epoch, "lr": lr, **row})
        log.info("Epoch %d: %s", self.current_epoch, ", ".join(f"{name} {value:.4f}" for name, value in row.items()))
        # Here, before the checkpoints of this epoch are written: they must hold the scheduler's step.
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(row["val/loss"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[ENTRY] = as_plain(self.metadata)
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])
        # A one-cycle schedule keeps its length in its state; resumed with more epochs, it must have the new length.
        for schedule in checkpoint["lr_schedulers"]:
            for name in ("total_steps", "_schedule_phases"):
                schedule.pop(name, None)

    def _augmented(self, features: Tensor, lengths: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of a batch augmented at random, and its targets, both float32 [batch, classes]."""
        settings = self.metadata.features
        features, lengths = change_sound(
            self.recogniser.network_features(features),
            lengths,
            self.spectrogram,
            sample_rate=settings.sample_rate,
            hop_seconds=settings.hop_length / settings.sample_rate,
            max_length=settings.max_length,
            generator=self.draws,
        )
        features = self.recogniser.normalisation(features, lengths)
        features = mask_spectrogram(features, lengths, self.spectrogram, generator=self.draws)
        features, lengths, targets = mix(features, lengths, targets, self.spectrogram, generator=self.draws)
        logits, _ = self.recogniser.network(features, lengths)
        return logits, targets


@torch.no_grad()
def _update(metrics: MetricCollection, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Add a batch to the epoch's metrics: its mean loss [], logits [batch, classes], labels int64 [batch]."""
    metrics.update(preds=logits, target=labels, value=loss.expand(len(labels)))


def _read(part: str, metrics: MetricCollection) -> dict[str, float]:
    """Return the metrics of an epoch of "train" or "val", by the names they are logged under, and reset them."""
    values = metrics.compute()
    metrics.reset()
    return {f"{part}/{name}": values[name].item() for name in METRICS}
