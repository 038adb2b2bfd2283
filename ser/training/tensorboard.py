"""TensorBoard for a run: training and validation in one chart, the settings that were given, sounds to listen to."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard import SummaryWriter, summary

from ser.errors import AudioError
from ser.evaluation.clips import CLIP_RATE, read_clip
from ser.evaluation.figures import confusion_figure
from ser.evaluation.report import Evaluation
from ser.evaluation.tables import percent, table
from ser.inference.run_folder import BEST

_PARTS = ("train", "val", "test")
_KEPT = "best"
_N_SOUNDS = 5
_CELL, _DPI = 0.36, 200
_GROUP = "metrics/"
"""TensorBoard opens the first two groups of charts only: so all curves are in one."""


class RunTensorBoardLogger(TensorBoardLogger):
    """Write a run as the runs `train`, `val` and `best`, which TensorBoard draws as lines of the same charts.

    `train/loss` becomes `metrics/loss` of `train`, `val/loss` the same of `val`; what is of neither is drawn in
    `train`. `best` has the validation metrics of each epoch that became `checkpoints/best.ckpt`, so its last ones are
    those of the model that the run leaves. With it lie the settings, which TensorBoard's HParams shows beside them, the
    confusion matrix, and recordings to listen to. The number of the epoch is not drawn.

    Parameters
    ----------
    save_dir, name : the folder is `<save_dir>/<name>`.
    """

    def __init__(self, save_dir: str | Path, name: str = "tb") -> None:
        super().__init__(save_dir, name=name, version="", default_hp_metric=False)
        self._writers: dict[str, SummaryWriter] = {}
        self._validated: dict[str, float] = {}
        self._step = 0
        self._end_of_session: Any = None

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """The writer of `train`, for what callbacks of one's own write."""
        return self.writer("train")

    def writer(self, run: str) -> SummaryWriter:
        """Return what writes into `train`, `val`, `test` or `best`; None of them is made before something is logged."""
        if run not in self._writers:
            self._writers[run] = SummaryWriter(str(Path(self.log_dir) / run))
        return self._writers[run]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Draw values by part; the learning rate, `lr-<optimiser>`, is drawn as `lr`."""
        validated: dict[str, float] = {}
        for name, value in metrics.items():
            part, _, tag = name.partition("/")
            if part == "val" and tag:
                validated[tag] = value
            if part not in _PARTS or not tag:
                part, tag = "train", re.sub(r"^lr-[^/]+", "lr", name)
            if name != "epoch":
                self.writer(part).add_scalar(_GROUP + tag, value, step)
        if validated:
            self._validated, self._step = validated, step or 0

    @rank_zero_only
    def log_settings(self, settings: Mapping[str, bool | int | float | str]) -> None:
        """Put the run into HParams, with these settings as columns before those of the metrics of `best`.

        No list of the columns is written, unlike by `log_hyperparams`: TensorBoard would take that of one run for all.
        """
        values = {key: str(value).lower() if isinstance(value, bool) else value for key, value in settings.items()}
        _, start, self._end_of_session = summary.hparams(values, {})  # type: ignore[no-untyped-call]  # of torch
        self._write(_KEPT, start)

    @rank_zero_only
    def log_outcome(self, evaluation: Evaluation, sounds: Mapping[str, Path]) -> None:
        """Add the confusion matrix, and five recordings of different emotions with their predictions.

        Parameters
        ----------
        evaluation : of the validation part by the best checkpoint.
        sounds : name of a recording -> its file; what cannot be read is left out.
        """
        results, writer = evaluation.results, self.writer(_KEPT)
        overall = results["overall"]
        title = f"accuracy {percent(overall['accuracy'])}, UAR {percent(overall['uar'])}"
        figure = confusion_figure(results["confusion_matrix"], results["class_names"], title=title, cell=_CELL)
        figure.set_dpi(_DPI)
        writer.add_figure("val/confusion_matrix", figure, global_step=self._step)
        writer.add_text("protocol", results["protocol"], global_step=self._step)
        rows = [["recording", "true", "predicted", "confidence"]]
        for row in _of_different_emotions(evaluation.predictions).to_dict("records"):
            title = f"{row['file']}: {row['true']}, predicted {row['predicted']} ({percent(row['confidence'])})"
            try:
                clip = read_clip(sounds[row["file"]])
            except (KeyError, AudioError):
                continue
            rows.append([row["file"], row["true"], row["predicted"], percent(row["confidence"])])
            # The prediction is in the name, because TensorBoard shows no other text beside a sound.
            content = summary.audio(f"recordings/{title}", clip, CLIP_RATE)  # type: ignore[no-untyped-call]  # of torch
            self._write(_KEPT, content)
        writer.add_text("recordings", table(rows, left=3), global_step=self._step)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Take the last validation for that of the best epoch, where `best.ckpt` has just been written."""
        if f"{checkpoint_callback.filename}.ckpt" == BEST:
            for tag, value in self._validated.items():
                self.writer(_KEPT).add_scalar(_GROUP + tag, value, self._step)

    @rank_zero_only
    def save(self) -> None:
        """Flush; no file of hyper-parameters is written, as the run's folder has its settings."""
        for writer in self._writers.values():
            writer.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the files; what is logged later goes into new ones."""
        if status == "success" and self._end_of_session is not None:
            self._write(_KEPT, self._end_of_session)
            self._end_of_session = None
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _write(self, run: str, content: Any) -> None:
        self.writer(run)._get_file_writer().add_summary(content, self._step)  # type: ignore[no-untyped-call]  # of torch


def _of_different_emotions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return five recordings, the same ones for every model: of as many emotions as there are, chosen at random."""
    shuffled = predictions.sort_values("file").sample(frac=1, random_state=0)
    turn = shuffled.groupby("true", observed=True).cumcount()
    order = shuffled.assign(turn=turn).sort_values(["turn", "true"], kind="stable")
    return order.head(_N_SOUNDS)
