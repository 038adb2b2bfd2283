"""Lightning's trainer with the callbacks and loggers of a run."""

import sys

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from ser.errors import SettingsError
from ser.inference.run_folder import BEST, CHECKPOINTS, LAST
from ser.training.callbacks import AtomicCheckpointIO, EmaWeightAveraging, ResumableEarlyStopping
from ser.training.config import RunSettings


def build_trainer(settings: RunSettings) -> L.Trainer:
    """Return the trainer with its callbacks and loggers.

    Raises
    ------
    SettingsError : Lightning refuses the group `trainer`, such as a GPU that is not there.
    """
    callbacks = _callbacks(settings)
    try:
        return L.Trainer(
            **settings.trainer,
            callbacks=callbacks,
            logger=_loggers(settings),
            plugins=[AtomicCheckpointIO()],
            default_root_dir=settings.run_dir,
            enable_progress_bar=any(isinstance(one, RichProgressBar) for one in callbacks),
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise SettingsError(f"trainer cannot be set up so: {' '.join(str(error).split())}") from error


def _callbacks(settings: RunSettings) -> list[Callback]:
    stopping, best = settings.callbacks.early_stopping, settings.callbacks.checkpoint
    folder = settings.run_dir / CHECKPOINTS

    def checkpoint(name: str, *, monitor: str | None, mode: str = "min") -> ModelCheckpoint:
        # A fixed name, replaced atomically: Lightning's default would write best-v1, best-v2, ... After the last hook
        # of the epoch, so that a resumed run begins a new epoch rather than finishing an old one.
        return ModelCheckpoint(
            folder,
            name.removesuffix(".ckpt"),
            monitor=monitor,
            mode=mode,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )

    callbacks: list[Callback] = [
        # The number of the epoch always rises, so without a monitor the last epoch is the best.
        checkpoint(BEST, monitor=best.monitor or "epoch", mode=best.mode if best.monitor else "max"),
        checkpoint(LAST, monitor=None),  # after the best, whose state it has
    ]
    if stopping.monitor is not None:
        early = ResumableEarlyStopping(stopping.monitor, stopping.min_delta, stopping.patience, mode=stopping.mode)
        callbacks.append(early)
    if settings.model.optimiser.ema_decay:
        callbacks.append(EmaWeightAveraging(settings.model.optimiser.ema_decay))
    if settings.logger.tensorboard or settings.logger.csv:
        callbacks.append(LearningRateMonitor(logging_interval="epoch"))
    if settings.callbacks.progress and sys.stdout.isatty():
        callbacks.append(RichProgressBar())
    return callbacks


def _loggers(settings: RunSettings) -> list[Logger]:
    loggers: list[Logger] = []
    if settings.logger.tensorboard:
        loggers.append(TensorBoardLogger(settings.run_dir, name="tensorboard", version="", default_hp_metric=False))
    if settings.logger.csv:
        loggers.append(CSVLogger(settings.run_dir, name="csv"))
    return loggers
