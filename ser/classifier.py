"""The Lightning module: loss, metrics, optimiser, learning rate; all of training and nothing of the network."""

import logging
from dataclasses import dataclass, field
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ser.checkpoint import ENTRY, describe
from ser.datamodule import epoch_seed
from ser.description import Description
from ser.metrics import Metrics
from ser.nets import Recogniser
from ser.settings import require

log = logging.getLogger(__name__)

MONITORED = ("val/loss", "val/accuracy", "val/uar", "train/loss", "train/accuracy", "train/uar")
"""What is logged once an epoch, and can be monitored."""


@dataclass(frozen=True, kw_only=True)
class SchedulerSettings:
    """ReduceLROnPlateau on the validation loss: `factor` after `patience` epochs without gain, down to `min_lr`."""

    factor: float = 0.5
    patience: int = 5
    min_lr: float = 1e-6

    def __post_init__(self) -> None:
        require(0 < self.factor < 1, f"factor is {self.factor}, but should lie between 0 and 1.")
        require(self.patience >= 0, f"patience is {self.patience}, but should not be negative.")
        require(self.min_lr >= 0, f"min_lr is {self.min_lr}, but should not be negative.")


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The group `model`: an architecture by name, its settings, and how it is trained."""

    name: str = "cnn_bilstm_luong"
    network: dict[str, Any] = field(default_factory=dict)
    lr: float = 1e-4
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)

    def __post_init__(self) -> None:
        require(self.lr > 0, f"lr is {self.lr}, but should be above 0.")


class EmotionClassifier(L.LightningModule):
    """Train a recogniser with cross-entropy and Adam.

    Attributes
    ----------
    history : one row an epoch, name -> value: what the learning curve shows. It is in the checkpoint, so it goes on
        unbroken after a resume.
    """

    history: list[dict[str, float]]

    def __init__(self, recogniser: Recogniser, *, description: Description, settings: ModelSettings, seed: int) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.description = description
        self.settings = settings
        self.seed = seed
        self.history = []
        n_classes = len(description.class_names)
        for part in ("train", "val"):
            # Sums stay on the device and are read once an epoch: reading a number back every step costs a wait.
            self.register_buffer(f"{part}_loss_sum", torch.zeros(()), persistent=False)
            self.register_buffer(f"{part}_confusion", torch.zeros(n_classes, n_classes).long(), persistent=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map float32 [batch, features, frames] to logits [batch, classes] and attention weights [batch, frames']."""
        return self.recogniser(features)

    def configure_optimizers(self) -> dict[str, Any]:
        # Fused, all parameters are one launch; on a CPU it would gain 7%, but round otherwise than the plain optimiser.
        optimizer = Adam(self.parameters(), lr=self.settings.lr, fused=self.device.type == "cuda")
        scheduler = self.settings.scheduler
        plateau = ReduceLROnPlateau(
            optimizer, factor=scheduler.factor, patience=scheduler.patience, min_lr=scheduler.min_lr
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"}}

    def lr_scheduler_step(self, scheduler: ReduceLROnPlateau, metric: float | None) -> None:
        """Do nothing: Lightning steps after it has written the checkpoint, which so would lack the step."""

    def on_train_epoch_start(self) -> None:
        # Dropout's random numbers follow from the epoch, as the order of the samples does, so that a resumed run
        # draws what an unbroken one draws.
        torch.manual_seed(epoch_seed(self.seed, self.current_epoch))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self._step("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._step("val", batch)

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
        self.lr_schedulers().step(validation["val/loss"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[ENTRY] = describe(self.description)
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])

    def _step(self, part: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        features, labels = batch
        logits, _ = self.recogniser(features)
        loss = F.cross_entropy(logits, labels)
        with torch.no_grad():
            n_classes = logits.shape[1]
            cells = labels * n_classes + logits.argmax(dim=1)
            # Not bincount, which makes a GPU wait for its largest value.
            getattr(self, f"{part}_confusion").view(-1).index_add_(0, cells, torch.ones_like(cells))
            getattr(self, f"{part}_loss_sum").add_(loss.detach() * len(labels))
        return loss

    def _read_sums(self, part: str) -> dict[str, float]:
        """Return the epoch's loss, accuracy and UAR, and begin again from zero."""
        confusion, loss_sum = getattr(self, f"{part}_confusion"), getattr(self, f"{part}_loss_sum")
        metrics = Metrics.from_confusion(confusion.cpu().numpy(), self.description.class_names)
        loss = loss_sum.item() / metrics.n_recordings
        confusion.zero_()
        loss_sum.zero_()
        return {f"{part}/loss": loss, f"{part}/accuracy": metrics.accuracy, f"{part}/uar": metrics.uar}
