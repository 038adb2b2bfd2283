"""Callbacks and checkpoint writing that Lightning does not have: runs that can be killed and resumed, a rising EMA."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from ser.features.validation import InnerFraction, NaturalNumber, Positive
from ser.inference.checkpoint import HYPER_PARAMETERS, read_checkpoint, save_atomically


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write checkpoints beside their place and move them in; read tensors and plain values only.

    Lightning's own writer makes the temporary file in the system's temporary folder; where that is another file
    system, the move is a copy, and a kill leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        # Hyper-parameters that a module of one's own has saved: no checkpoint of ours is built from them, and they may
        # be objects that a file of plain values cannot hold.
        kept = {key: value for key, value in checkpoint.items() if HYPER_PARAMETERS not in key and "hparams" not in key}
        save_atomically(kept, Path(path))

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))


class RunCheckpoint(ModelCheckpoint):
    """Keep one checkpoint of a run, replaced in place after each epoch.

    Parameters
    ----------
    dirpath, filename : its folder, and its name without the suffix.
    monitor, mode : the metric that chooses the epoch, and whether its "min" or its "max" is best. None, or as long as
        nothing was validated: the last epoch is kept.
    """

    def __init__(
        self,
        dirpath: str | Path,
        filename: str,
        monitor: str | None = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        # A fixed name: Lightning's default would write best-v1, best-v2, ... After the last hook of the epoch, so that
        # a resumed run begins a new epoch rather than finishing an old one.
        super().__init__(
            dirpath,
            filename,
            monitor=monitor,
            mode=mode,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )

    @property
    def state_key(self) -> str:
        return self._generate_state_key(filename=self.filename, monitor=self.monitor, mode=self.mode)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # The run may have been moved or copied since. Lightning would then forget which score was the best, take the
        # next epoch for better, and delete the file of the old place.
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {key: self._here(state_dict[key]) for key in paths}
        best = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})

    def _here(self, path: str) -> str:
        return str(Path(self.dirpath or ".") / Path(path).name) if path else path

    def _save_topk_checkpoint(self, trainer: L.Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        if self.monitor is None or self.monitor in monitor_candidates:
            super()._save_topk_checkpoint(trainer, monitor_candidates)
        elif not self.best_k_models:
            self._save_none_monitor_checkpoint(trainer, monitor_candidates)


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that, resumed from a run that had stopped, trains no further epoch.

    Parameters
    ----------
    monitor, mode : the metric, and whether its "min" or its "max" is best. Epochs without it do not count.
    patience, min_delta : the run stops after `patience` epochs without a gain of more than `min_delta`.
    """

    def __init__(
        self,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] = "min",
        patience: Positive = 10,
        min_delta: NaturalNumber = 0.0,
    ) -> None:
        super().__init__(monitor, min_delta, patience, mode=mode, strict=False)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class RunProgressBar(RichProgressBar):
    """A progress bar with the loss and the validation UAR, and without the version of a logger.

    Parameters
    ----------
    refresh_rate : it is drawn anew after so many batches.
    leave : whether the bar of each epoch stays.
    """

    def __init__(self, refresh_rate: Positive = 1, leave: bool = False) -> None:
        super().__init__(refresh_rate, leave)

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class WholeEpochs(Callback):
    """Take an epoch that `max_steps` or `max_time` cut short for a whole one.

    It is validated, a schedule of epochs makes its step, and a resumed run begins with the next.

    Lightning resumes in the middle of the epoch, with batches that were seen already and other random numbers, and
    counts the epoch once more.
    """

    _max_steps: int = -1

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # Lightning then validates before it stops

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        batches["current"] = dict.fromkeys(batches["current"], sys.maxsize)  # as many as there are, or more
        batches["is_last_batch"] = True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning lets a schedule of epochs step after the last batch of an epoch, which a cut one does not reach.
        loop = trainer.fit_loop.epoch_loop
        done = loop.batch_progress
        if not done.is_last_batch and done.current.ready < trainer.num_training_batches:
            loop.update_lr_schedulers("epoch", update_plateau_schedulers=False)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning goes on within an epoch, even one that ended, wherever `max_steps` is set while it loads its state.
        self._max_steps, trainer.fit_loop.epoch_loop.max_steps = trainer.max_steps, -1

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.fit_loop.epoch_loop.max_steps = self._max_steps


class EmaWeightAveraging(WeightAveraging):
    """Exponential moving average (EMA) of weights and buffers, with a decay that rises over the first steps.

    Validation and checkpoints have the EMA weights; the online weights are in the checkpoint under
    "current_model_state", for resuming. Before step 0, 1, 2, ... the average is the initial model, and each step moves
    it towards the online model with the decay min(decay, (1 + step) / (10 + step)): a constant decay of 0.995 would
    leave three quarters of the initial weights after 60 steps.

    Parameters
    ----------
    decay : the highest decay, in (0, 1).
    """

    def __init__(self, decay: InnerFraction) -> None:
        super().__init__(multi_avg_fn=partial(move_average, decay=decay))

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        # Lightning moves the module to its device only later; the average would stay behind on the CPU.
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            # The initial model is the first in the average; if the count began at 0, step 0 would replace it.
            self._average_model.n_averaged.fill_(1)


@torch.no_grad()
def move_average(averages: Sequence[Tensor], online: Sequence[Tensor], n_averaged: Tensor, *, decay: float) -> None:
    """Move each tensor of an average towards the online model's, in place.

    Counters, such as the number of batches that a normalisation layer has seen, are copied.

    Parameters
    ----------
    n_averaged : int64 [], how many models are in the average, the initial one among them: 1 at step 0.
    """
    n = int(n_averaged)
    decay = min(decay, n / (9 + n))
    for average, new in zip(averages, online, strict=True):
        if average.is_floating_point():
            average.lerp_(new, 1 - decay)
        else:
            average.copy_(new)
