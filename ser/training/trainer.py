"""Lightning's trainer with the callbacks and loggers of a run."""

import logging
import sys
from typing import cast

import lightning as L
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ProgressBar
from lightning.pytorch.loggers import Logger

from ser.errors import SettingsError
from ser.inference.run_folder import BEST, CHECKPOINTS, LAST
from ser.models.precision import computes_in_bf16
from ser.training.callbacks import AtomicCheckpointIO, RunCheckpoint, WholeEpochs
from ser.training.components import build
from ser.training.config import RunSettings


def build_trainer(settings: RunSettings) -> L.Trainer:
    """Return the trainer with its callbacks and loggers.

    Raises
    ------
    SettingsError : Lightning refuses a value, such as a GPU that is not there; batch statistics shared on a CPU;
        16 bits on a processor that cannot compute in them.
    """
    loggers = _build_loggers(settings)
    callbacks = _build_callbacks(settings, has_logger=bool(loggers))
    if settings.trainer.get("profiler"):
        # A profiler writes its table into the log; Lightning's other messages of this level are left out.
        logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)
    values = dict(settings.trainer)
    plugins = values.pop("plugins", None) or []
    given = {
        "callbacks": callbacks,
        "logger": loggers,
        "plugins": [*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()],
        "default_root_dir": settings.run_dir,
        "enable_progress_bar": any(isinstance(one, ProgressBar) for one in callbacks),
        "use_distributed_sampler": False,  # the datamodule's own sampler shares batches out
    }
    trainer = cast(L.Trainer, build(values, where="trainer", given=given))
    precision = settings.trainer.get("precision")
    if "bf16" in str(precision) and not computes_in_bf16(trainer.strategy.root_device):
        raise SettingsError(
            f"trainer.precision is {precision}, but this processor cannot compute in 16 bits (it has no AVX-512); "
            "use trainer.precision=32-true, or a GPU."
        )
    if settings.trainer.get("sync_batchnorm") and trainer.strategy.root_device.type == "cpu":
        raise SettingsError("trainer.sync_batchnorm is true, which is for GPUs; leave it out on a CPU.")
    return trainer


def _build_callbacks(settings: RunSettings, *, has_logger: bool) -> list[Callback]:
    callbacks = []
    for name, values in settings.callbacks.items():
        if values is None:
            continue
        callback = build(values, where=f"callbacks.{name}", base=Callback)
        if isinstance(callback, ProgressBar) and not sys.stdout.isatty():
            continue
        if isinstance(callback, LearningRateMonitor) and not has_logger:
            continue
        callbacks.append(callback)
    if settings.best_checkpoint is None:
        callbacks.append(RunCheckpoint(settings.run_dir / CHECKPOINTS, BEST.removesuffix(".ckpt"), monitor=None))
    callbacks.append(WholeEpochs())
    # After the best, whose state it has.
    callbacks.append(RunCheckpoint(settings.run_dir / CHECKPOINTS, LAST.removesuffix(".ckpt"), monitor=None))
    return callbacks


def _build_loggers(settings: RunSettings) -> list[Logger]:
    return [
        build(values, where=f"logger.{name}", base=Logger)
        for name, values in settings.logger.items()
        if values is not None
    ]
