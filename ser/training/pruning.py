"""The callback that ends a poor trial of `ser tune` early."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L
from lightning.pytorch.callbacks import Callback

from ser.data.files import write_text_atomically
from ser.features.validation import Natural, Positive
from ser.training.outcome import PRUNED
from ser.training.study import PRUNED_AT, STUDY, open_journal

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)


class TrialPruning(Callback):
    """Report each epoch of a trial to its study, and end it once it is worse than the median of the others so far.

    A trial that has ended, and one whose study is gone, are left alone: so a run is resumed like any other.

    Parameters
    ----------
    study : the file of the study, as of `open_journal`.
    trial : its number.
    metric : what is reported, such as "val/uar"; the study knows whether more is better.
    startup_trials : as many trials end undisturbed before any is ended early.
    warmup_epochs : as many epochs of each trial do, too.
    """

    def __init__(
        self,
        study: str,
        trial: Natural,
        metric: str = "val/uar",
        startup_trials: Natural = 5,
        warmup_epochs: Positive = 10,
    ) -> None:
        self.study, self.number, self.metric = Path(study), trial, metric
        self.startup_trials, self.warmup_epochs = startup_trials, warmup_epochs
        self._trial: optuna.trial.Trial | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero and self.study.is_file():
            self._trial = self._running()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        stop = False
        if self._trial is not None and self.metric in trainer.callback_metrics:
            value, epoch = float(trainer.callback_metrics[self.metric]), trainer.current_epoch
            self._trial.report(value, epoch)
            stop = self._trial.should_prune()
            if stop:
                sentence = f"Ended after epoch {epoch}: {self.metric} {value:.4f} is below the median of other trials."
                sentence = sentence if self._is_maximised else sentence.replace("below", "above")
                log.info("%s", sentence)
                self._trial.set_user_attr(PRUNED_AT, epoch)
                write_text_atomically(Path(trainer.default_root_dir) / PRUNED, f"{sentence}\n")
                self._trial = None
        if trainer.strategy.broadcast(stop):  # to the processes of further devices
            trainer.should_stop = True

    @property
    def _is_maximised(self) -> bool:
        from optuna.study import StudyDirection

        return self._trial is not None and self._trial.study.direction is StudyDirection.MAXIMIZE

    def _running(self) -> "optuna.trial.Trial | None":
        import optuna
        from optuna.trial import Trial, TrialState

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.MedianPruner(self.startup_trials, self.warmup_epochs)
        study = optuna.load_study(study_name=STUDY, storage=open_journal(self.study), pruner=pruner)
        found = [one for one in study.get_trials(deepcopy=False) if one.number == self.number]
        return Trial(study, found[0]._trial_id) if found and found[0].state is TrialState.RUNNING else None
