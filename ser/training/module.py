"""The Lightning module: loss, metrics, optimiser, learning rate; all of training and nothing of the network."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import field
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ser.augment.specaugment import mask_spectrogram, mix
from ser.augment.spectrogram import SpectrogramAugmentSettings, change_sound
from ser.data.samplers import epoch_seed
from ser.evaluation.metrics import Metrics
from ser.features.validation import Fraction, FractionBelowOne, PositiveNumber, settings_dataclass
from ser.inference.checkpoint import ENTRY, describe
from ser.models.metadata import ModelMetadata
from ser.models.recogniser import Recogniser
from ser.training.optimiser import OptimiserSettings, SchedulerSettings, build_optimiser, build_schedule, update_ema

log = logging.getLogger(__name__)

MONITORED = ("val/loss", "val/accuracy", "val/uar", "train/loss", "train/accuracy", "train/uar")
"""What is logged once an epoch, and can be monitored."""


@settings_dataclass
class ModelSettings:
    """The group `model`: an architecture by name, its settings, and how it is trained.

    Attributes
    ----------
    lr : the learning rate, of a one-cycle schedule the highest.
    label_smoothing : share of the target that is spread over all classes (Szegedy et al. 2016).
    balance : weigh each class's loss by (mean count / its count) to this power in the training part; 0: all alike.
    """

    name: str = "cnn_bilstm_luong"
    network: dict[str, Any] = field(default_factory=dict)
    lr: PositiveNumber = 1e-4
    label_smoothing: FractionBelowOne = 0.0
    class_weight_power: Fraction = 0.0
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)


class EmotionClassifier(L.LightningModule):
    """Train a recogniser's network with cross-entropy; its second opinion, if it has one, is there already.

    Parameters
    ----------
    spectrogram : how training batches are changed; for log-mel features and networks that standardise by band only.
    class_counts : training samples of each class, for `settings.class_weight_power`.

    Attributes
    ----------
    recogniser : what is validated and kept; the running average of the learner's weights, where there is one.
    learner : what is trained.
    history : one row an epoch, name -> value: what the learning curve shows. It is in the checkpoint, so it goes on
        unbroken after a resume.
    """

    history: list[dict[str, float]]

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
        self.averages = settings.optimiser.ema_decay > 0
        if self.averages:
            self.online_model = copy.deepcopy(recogniser)
            recogniser.requires_grad_(False)
        self.metadata = metadata
        self.settings = settings
        self.spectrogram = spectrogram or SpectrogramAugmentSettings()
        self.seed = seed
        self.history = []
        counts = torch.tensor(class_counts or [1] * len(metadata.class_names), dtype=torch.float32)
        weights = (counts[counts > 0].mean() / counts) ** settings.class_weight_power
        # Of a class that is not there nothing is learnt, by smoothed targets neither.
        self.register_buffer("class_weights", weights.where(counts > 0, 0), persistent=False)
        n_classes = len(metadata.class_names)
        for part in ("train", "val"):
            # Sums stay on the device and are read once an epoch: reading a number back every step costs a wait.
            self.register_buffer(f"{part}_loss_sum", torch.zeros(()), persistent=False)
            self.register_buffer(f"{part}_confusion", torch.zeros(n_classes, n_classes).long(), persistent=False)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map features and lengths to logits [batch, classes] and attention weights [batch, frames']."""
        return self.recogniser(features, lengths)

    @property
    def learner(self) -> Recogniser:
        return self.online_model if self.averages else self.recogniser

    def configure_optimizers(self) -> dict[str, Any]:
        optimiser = build_optimiser(
            self.learner, self.settings.optimiser, lr=self.settings.lr, on_gpu=self.device.type == "cuda"
        )
        schedule = build_schedule(
            optimiser, self.settings.scheduler, n_steps=int(self.trainer.estimated_stepping_batches)
        )
        by_step = not isinstance(schedule, ReduceLROnPlateau)
        entry = (
            {"scheduler": schedule, "interval": "step"} if by_step else {"scheduler": schedule, "monitor": "val/loss"}
        )
        return {"optimizer": optimiser, "lr_scheduler": entry}

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

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Optimizer, optimizer_closure: Any = None) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.averages:
            decay = self.settings.optimiser.ema_decay
            update_ema(self.recogniser, self.learner, decay=decay, step=self.global_step)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        features, lengths, labels = batch
        if self.spectrogram.changes_anything:
            logits, targets = self._changed(
                features, lengths, F.one_hot(labels, len(self.metadata.class_names)).float()
            )
        else:
            logits, targets = self.learner.network_logits(features, lengths)[0], labels
        weight = self.class_weights if self.settings.class_weight_power else None
        loss = F.cross_entropy(logits, targets, weight=weight, label_smoothing=self.settings.label_smoothing)
        self._count("train", loss, logits, labels)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        features, lengths, labels = batch
        logits, _ = self.recogniser(features, lengths)
        self._count("val", F.cross_entropy(logits, labels), logits, labels)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self._read_sums("val"))

    def on_train_epoch_end(self) -> None:
        train = self._read_sums("train")
        self.log_dict(train)
        validation = {name: float(self.trainer.callback_metrics[name]) for name in MONITORED if name.startswith("val/")}
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        row = {**train, **validation}
        self.history.append({"epoch": self.current_epoch, "lr": lr, **row})
        log.info("Epoch %d: %s", self.current_epoch, ", ".join(f"{name} {value:.4f}" for name, value in row.items()))
        # Here, before the checkpoints of this epoch are written: they must hold the scheduler's step.
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(validation["val/loss"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[ENTRY] = describe(self.metadata)
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])

    def _changed(self, features: Tensor, lengths: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the learner's logits of a batch changed at random, and its targets, both [batch, classes]."""
        settings = self.metadata.features
        features = self.learner.network_features(features)
        features, lengths = change_sound(
            features,
            lengths,
            self.spectrogram,
            sample_rate=settings.sample_rate,
            hop_seconds=settings.hop_length / settings.sample_rate,
            max_length=settings.max_length,
            generator=self.draws,
        )
        features = self.learner.normalisation(features, lengths)
        features = mask_spectrogram(features, lengths, self.spectrogram, generator=self.draws)
        features, lengths, targets = mix(features, lengths, targets, self.spectrogram, generator=self.draws)
        logits, _ = self.learner.network(features, lengths)
        return logits, targets

    def _count(self, part: str, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch to the epoch's sums: its mean loss, logits float32 [batch, classes], labels int64 [batch]."""
        with torch.no_grad():
            cells = labels * logits.shape[1] + logits.argmax(dim=1)
            # Not bincount, which makes a GPU wait for its largest value.
            getattr(self, f"{part}_confusion").view(-1).index_add_(0, cells, torch.ones_like(cells))
            getattr(self, f"{part}_loss_sum").add_(loss.detach() * len(labels))

    def _read_sums(self, part: str) -> dict[str, float]:
        """Return the epoch's loss, accuracy and UAR, and begin again from zero."""
        confusion, loss_sum = getattr(self, f"{part}_confusion"), getattr(self, f"{part}_loss_sum")
        metrics = Metrics.from_confusion(confusion.cpu().numpy(), self.metadata.class_names)
        loss = loss_sum.item() / metrics.n_recordings
        confusion.zero_()
        loss_sum.zero_()
        return {f"{part}/loss": loss, f"{part}/accuracy": metrics.accuracy, f"{part}/uar": metrics.uar}
