"""The Lightning module: loss, metrics, optimiser, learning rate; all of training and nothing of the network."""

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.parsing import AttributeDict
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import Metric, MetricCollection

from ser.augment.specaugment import mask_spectrogram, mix
from ser.augment.spectrogram import SpectrogramAugmentSettings, change_sound
from ser.data.samplers import Batch, epoch_seed
from ser.errors import SettingsError
from ser.features.validation import as_plain
from ser.inference.checkpoint import ENTRY, load_recogniser
from ser.models.metadata import FeatureGroups, ModelMetadata
from ser.models.networks.context_bilstm import ContextBiLstm
from ser.models.recogniser import Recogniser
from ser.training.context import logits_in_context
from ser.training.fine_tuning import body_weights, keep_frozen_statistics
from ser.training.loss import CrossEntropy, total_weight
from ser.training.metrics import METRICS, epoch_metrics
from ser.training.optimiser import Group, adam

log = logging.getLogger(__name__)

_WEIGHT_OF_PARTS = 0.5
"""Of the loss of each part of a late fusion beside that of the whole, so that each learns all it can."""


class EmotionClassifier(L.LightningModule):
    """Train a recogniser's network; its utterance-level head, if it has one, is fitted already.

    Weights that require no gradient are not trained, and the running statistics of their batch normalisation stay.

    Parameters
    ----------
    loss : of a batch (`ser.training.loss`); None: `CrossEntropy`.
    optimiser : makes the optimiser of the weights, or groups of weights, that it is called with; None: Adam with a
        learning rate of 1e-4.
    scheduler : makes a schedule of the optimiser it is called with, and, where it has a parameter `n_steps`, of the
        optimiser steps of the whole training; None: the learning rate stays.
    scheduler_interval : "epoch" or "step", after which the schedule steps.
    scheduler_monitor : the metric that ReduceLROnPlateau looks at, after each epoch that was validated.
    metrics : of one's own, by the names that they are logged under, after "train/", "val/" and "test/"; updated with
        logits and labels.
    spectrogram : how training batches are augmented; for log-mel features and networks with per-band normalisation.
    body_lr : the learning rate of all layers of the network but the last, which has a row for each class; None: that of
        the optimiser.
    seed : of dropout and augmentation.

    Attributes
    ----------
    recogniser : the online model in training steps. Where `EmaWeightAveraging` is among the callbacks, it has the EMA
        weights in validation, in checkpoints and after training.
    history : one row an epoch, name -> value: the learning curve. It is in the checkpoint, so a resumed run goes on
        with it. An epoch that was not validated has no "val/..." in its row; one that was validated more than once
        has the last values.
    """

    draws: torch.Generator

    def __init__(
        self,
        recogniser: Recogniser,
        metadata: ModelMetadata,
        *,
        loss: nn.Module | None = None,
        optimiser: Callable[[Iterable[nn.Parameter] | Iterable[Group]], Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler | ReduceLROnPlateau] | None = None,
        scheduler_interval: str = "epoch",
        scheduler_monitor: str = "val/loss",
        metrics: Mapping[str, Metric] | None = None,
        spectrogram: SpectrogramAugmentSettings | None = None,
        body_lr: float | None = None,
        seed: int = 42,
    ) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.metadata = metadata
        self.loss = loss or CrossEntropy()
        self.make_optimiser = optimiser or partial(adam, lr=1e-4)
        self.make_scheduler = scheduler
        self.scheduler_interval, self.scheduler_monitor = scheduler_interval, scheduler_monitor
        self.spectrogram = spectrogram or SpectrogramAugmentSettings()
        self.body_lr = body_lr
        self.seed = seed
        self.history: list[dict[str, float]] = []
        self._validated: dict[str, float] = {}
        n_classes = len(metadata.class_names)
        self.train_metrics, self.val_metrics, self.test_metrics = (epoch_metrics(n_classes, metrics) for _ in range(3))

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # no file decides what is built: no hyper-parameters
        cls,
        checkpoint_path: str | Path,
        *,
        networks: Mapping[str, type[nn.Module]] | None = None,
        feature_groups: FeatureGroups | None = None,
    ) -> "EmotionClassifier":
        """Read a checkpoint, or the best one of a run's folder, for `trainer.validate`, `test` and `predict`.

        Parameters
        ----------
        networks, feature_groups : those of one's own that the model was trained with, by name.

        Raises
        ------
        CheckpointError : it is missing, damaged or foreign, or needs a network or group that was not handed in.
        """
        return cls(*load_recogniser(Path(checkpoint_path), networks=networks, feature_groups=feature_groups))

    @property
    def hparams_initial(self) -> AttributeDict:
        """What a subclass has saved by `save_hyperparameters`, as far as loggers take it: plain values."""
        saved = super().hparams_initial
        return AttributeDict({name: value for name, value in saved.items() if isinstance(value, int | float | str)})

    @property
    def _network_name(self) -> str:
        return type(self.recogniser.network).__name__

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map features and lengths to logits [batch, classes] and attention weights [batch, frames']."""
        result: tuple[Tensor, Tensor] = self.recogniser(features, lengths)
        return result

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if not any(weight.requires_grad for weight in self.recogniser.network.parameters()):
            raise SettingsError(
                f"model.network is {self._network_name}, which has no weights to train; give it layers or "
                "torch.nn.Parameter as attributes, with requires_grad, or choose another network."
            )
        optimiser = self.make_optimiser(self._weights())
        if self.make_scheduler is None:
            return optimiser
        arguments = {}
        if "n_steps" in inspect.signature(self.make_scheduler).parameters:
            n_steps = self.trainer.estimated_stepping_batches
            if n_steps == float("inf"):
                raise SettingsError("model.scheduler needs the number of steps; give trainer.max_epochs or max_steps.")
            arguments["n_steps"] = int(n_steps)
        n_rates = len({group["lr"] for group in optimiser.param_groups})
        scheduler = self.make_scheduler(optimiser, **arguments)
        if n_rates > len({group["lr"] for group in optimiser.param_groups}):
            raise SettingsError(
                "model.scheduler gives all weights one learning rate, so that model.body_lr is lost; choose another, "
                "such as model/scheduler=one_cycle, or leave model.body_lr out."
            )
        if isinstance(scheduler, ReduceLROnPlateau):
            # Not strict: an epoch may go without validation.
            how: Any = {"scheduler": scheduler, "monitor": self.scheduler_monitor, "strict": False}
        else:
            how = {"scheduler": scheduler, "interval": self.scheduler_interval}
        return {"optimizer": optimiser, "lr_scheduler": how}

    def _weights(self) -> list[nn.Parameter] | list[Group]:
        """Return the weights to train; with a rate of the body in two groups, of which the first is not the body."""
        of_loss = self.loss.parameters() if isinstance(self.loss, nn.Module) else ()
        weights = [weight for weight in (*self.recogniser.parameters(), *of_loss) if weight.requires_grad]
        if self.body_lr is None:
            return weights
        body = {id(weight) for weight in body_weights(self.recogniser, self.metadata)}
        groups: list[Group] = [
            {"params": [weight for weight in weights if id(weight) not in body]},
            {"params": [weight for weight in weights if id(weight) in body], "lr": self.body_lr},
        ]
        return groups

    def lr_scheduler_step(self, scheduler: LRScheduler | ReduceLROnPlateau, metric: float | None) -> None:
        """Step, but not on a plateau: Lightning would step after the checkpoint, which would lack it."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def on_train_epoch_start(self) -> None:
        # The random numbers of dropout and augmentation follow from the epoch, as the order of the samples does, so
        # that a resumed run draws what an unbroken one draws.
        seed = epoch_seed(self.seed, self.current_epoch, self.global_rank)
        torch.manual_seed(seed)
        self.draws = torch.Generator().manual_seed(seed)
        self._validated = {}
        keep_frozen_statistics(self.recogniser.network)
        self._lr = float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        features, lengths, labels, *of_corpus = batch
        allowed = of_corpus[0] if of_corpus else None
        targets = labels
        parts: tuple[Tensor, ...] = ()
        if isinstance(self.recogniser.network, ContextBiLstm):
            logits, parts = self._logits_in_context(features, lengths, of_corpus[1])
            targets, allowed = labels.repeat(2), of_corpus[0].repeat(2, 1)
        elif self.spectrogram.changes_anything:
            one_hot = F.one_hot(labels, len(self.metadata.class_names)).float()
            logits, targets, allowed = self._augmented(features, lengths, one_hot, allowed)
        else:
            logits, _ = self.recogniser.network_logits(features, lengths)
        if logits.shape[1:] != (len(self.metadata.class_names),):
            raise SettingsError(
                f"model.network is {self._network_name}, which returned logits of shape {list(logits.shape)}, but "
                f"should return [batch, {len(self.metadata.class_names)}]."
            )
        loss = self._loss(logits, targets, allowed)
        for part in parts:
            loss = loss + _WEIGHT_OF_PARTS * self._loss(part, targets, allowed)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            shape = list(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise SettingsError(f"model.loss returned {shape}, but should return the mean over the batch, a tensor [].")
        of_batch = loss.detach()
        if self.trainer.world_size > 1:
            # Gradients are averaged over processes: so that they are of the mean over the batch that these share.
            weight, reduce = total_weight(self.loss, targets), self.trainer.strategy.reduce
            loss = loss * weight / reduce(weight.clone(), reduce_op="mean")
            of_batch = reduce(loss.detach().clone(), reduce_op="mean")
        _update(self.train_metrics, of_batch, logits[: len(labels)], labels)
        if self.trainer.progress_bar_callback is not None:
            self.log("loss", of_batch, prog_bar=True, logger=False)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._score(batch, self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._score(batch, self.test_metrics)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return probabilities, float32 [batch, classes]."""
        features, lengths, _ = batch
        logits, _ = self.recogniser(features, lengths)
        return torch.softmax(logits / self.metadata.temperature, dim=1)

    def on_validation_epoch_end(self) -> None:
        values = _read("val", self.val_metrics)
        if not self.trainer.sanity_checking:
            self._validated = values
        for name, value in values.items():
            self.log(name, value, prog_bar=name == "val/uar")

    def on_test_epoch_end(self) -> None:
        self.log_dict(_read("test", self.test_metrics))

    def on_train_epoch_end(self) -> None:
        row = _read("train", self.train_metrics)
        self.log_dict(row)
        row |= self._validated
        # What callbacks, or a module of one's own, have logged; without a validation, its last one's values are left.
        parts = ("train", "val") if self._validated else ("train",)
        logged = {name: float(value) for name, value in self.trainer.callback_metrics.items() if name not in row}
        # "loss" and the rates are for the progress bar and the loggers.
        kept = {name for name in logged if "/" not in name and name != "loss" and not name.startswith("lr-")}
        row |= {name: value for name, value in logged.items() if name in kept or name.partition("/")[0] in parts}
        # A schedule of epochs has made its step by now.
        ended_with = self.trainer.optimizers[0].param_groups[0]["lr"]
        lr = ended_with if self.scheduler_interval == "step" else self._lr
        self.history.append({"epoch": self.current_epoch, "lr": lr, **row})
        log.info("Epoch %d: %s", self.current_epoch, ", ".join(f"{name} {value:.4f}" for name, value in row.items()))
        # Here, before the checkpoints of this epoch are written: they must hold the scheduler's step.
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau) and self.scheduler_monitor in row:
            scheduler.step(row[self.scheduler_monitor])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[ENTRY] = as_plain(self.metadata)
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])
        # A one-cycle schedule keeps its length in its state; resumed with more epochs, it must have the new length.
        for schedule in checkpoint.get("lr_schedulers", []):
            for name in ("total_steps", "_schedule_phases"):
                schedule.pop(name, None)

    def _score(self, batch: Batch, metrics: MetricCollection) -> None:
        features, lengths, labels = batch
        logits, _ = self.recogniser(features, lengths)
        loss = getattr(self.loss, "validation", self.loss)(logits, labels)
        _update(metrics, loss, logits, labels)

    def _loss(self, logits: Tensor, targets: Tensor, allowed: Tensor | None) -> Tensor:
        loss: Tensor = self.loss(logits, targets) if allowed is None else self.loss(logits, targets, allowed=allowed)
        return loss

    def _logits_in_context(
        self, features: Tensor, lengths: Tensor, speakers: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the logits of a batch augmented at random, and those of the parts that are fused in them.

        All are float32 [2 * batch, classes]: of each recording with a context, then of each without.
        """
        network = self.recogniser.network
        assert isinstance(network, ContextBiLstm)
        found = logits_in_context(
            network,
            features,
            lengths,
            speakers,
            spectrogram=self.spectrogram,
            settings=self.metadata.features,
            generator=self.draws,
        )
        return found.fused, (found.of_embedding, found.of_functionals)

    def _augmented(
        self, features: Tensor, lengths: Tensor, targets: Tensor, allowed: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the logits of a batch augmented at random, its targets and its allowed classes [batch, classes]."""
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
        features, lengths, targets, allowed = mix(
            features, lengths, targets, self.spectrogram, generator=self.draws, allowed=allowed
        )
        logits, _ = self.recogniser.normalised_logits(features, lengths)
        return logits, targets, allowed


@torch.no_grad()
def _update(metrics: MetricCollection, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Add a batch to the epoch's metrics: its mean loss [], logits [batch, classes], labels int64 [batch]."""
    metrics.update(preds=logits, target=labels, value=loss.expand(len(labels)))


def _read(part: str, metrics: MetricCollection) -> dict[str, float]:
    """Return the metrics of an epoch of "train" or "val", by the names they are logged under, and reset them."""
    values = metrics.compute()
    metrics.reset()
    for name, value in values.items():
        if value.numel() != 1:
            raise SettingsError(f"model.metrics.{name} has {value.numel()} values, but should have one.")
    names = [*METRICS, *(name for name in values if name not in METRICS)]  # torchmetrics sorts them
    return {f"{part}/{name}": values[name].item() for name in names}
