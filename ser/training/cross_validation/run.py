"""Run what is not finished yet, then say what all runs say together."""

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ser.data.workers import THREAD_VARIABLES, core_count
from ser.errors import SerError
from ser.evaluation.cross_validation.predictions import read_model
from ser.evaluation.cross_validation.report import write_results
from ser.evaluation.cross_validation.summary import Summary, summarise
from ser.training.configuration import write_configuration
from ser.training.cross_validation.command import begun_by
from ser.training.cross_validation.plan import FoldRun
from ser.training.cross_validation.processes import Command, Outcome, ending_by_exception, folder_lock, run_commands
from ser.training.cross_validation.settings import CrossValidationSettings, describe_protocol
from ser.training.run import build_data

log = logging.getLogger(__name__)

OUTPUT = "output.log"
"""What a run printed, in its folder; errors of Python and of libraries stand there alone."""


def cross_validate(
    settings: CrossValidationSettings,
    runs: Sequence[FoldRun],
    *,
    folder: Path,
    configuration: Mapping[str, Any],
    train_script: Path,
) -> Summary:
    """Run what is not finished of `runs`, and write the results of all of them into `folder`.

    Parameters
    ----------
    configuration : of the whole, kept in `folder`; unresolved, so that it can be resumed.
    train_script : `train.py`; each run is that command in a process of its own.

    Raises
    ------
    SerError : runs failed, or another cross-validation is at work in `folder`.
    """
    with folder_lock(folder) as lock, ending_by_exception():
        write_configuration(folder, dict(configuration))
        waiting = [run for run in runs if not run.is_finished]
        if len(waiting) < len(runs):
            log.info("%d of %d runs are finished already", len(runs) - len(waiting), len(runs))
        if waiting:
            _prepare_features(waiting)
            _train(waiting, jobs=settings.jobs or core_count(), folder=folder, train_script=train_script, lock=lock)
        data = runs[0].settings.data
        summary = summarise(
            [read_model(run, selective_accuracy=settings.selective_accuracy) for run in runs],
            protocol=describe_protocol(settings, runs[0].settings, scored=runs[0].parts),
            settings=settings,
            class_names=data.classes,
            keeps_last=runs[0].settings.callbacks.checkpoint.monitor is None,
            command=begun_by(folder, settings),
        )
        log.info("%s", write_results(summary, folder))
        log.info("Everything of this cross-validation is in %s", folder)
        return summary


def monitored(summary: Summary, name: str) -> float:
    """Return what a sweep of cross-validations is sorted by: a validation figure, averaged over folds and seeds.

    Parameters
    ----------
    name : "val/loss", "val/accuracy" or "val/uar".
    """
    figure = name.removeprefix("val/")
    mean = summary.parts["validation"].fold_mean["log_loss" if figure == "loss" else figure].mean
    assert mean is not None, "only the accuracy of kept answers may be undefined"
    return mean


def _prepare_features(runs: Sequence[FoldRun]) -> None:
    """Bring the corpus and, once for all folds, the features into the cache, by all cores.

    Runs side by side would each download or make the same, and get into each other's way.
    """
    first = {run.settings.data.augment_seed: run for run in reversed(runs)}
    for run in first.values():
        build_data(run.settings).setup()


def _train(runs: Sequence[FoldRun], *, jobs: int, folder: Path, train_script: Path, lock: int) -> None:
    for run in runs:
        write_configuration(run.folder, dict(run.configuration))
    commands = [_command(run, train_script) for run in runs]
    by_name = {run.folder.name: run for run in runs}
    log.info("%d runs, %d at a time; what each says is in %s/<run>/%s", len(runs), jobs, folder, OUTPUT)
    outcomes: list[Outcome] = []
    # One thread each: as many as cores run side by side, and results do not depend on how many do.
    environment = dict.fromkeys(THREAD_VARIABLES, "1")
    try:
        with closing(run_commands(commands, jobs=jobs, environment=environment, inherited=[lock])) as ended:
            for outcome in ended:
                outcomes.append(outcome)
                _tell(outcome, by_name[outcome.name], outcomes, n_runs=len(runs), jobs=jobs)
    except (KeyboardInterrupt, SystemExit):
        log.warning("Interrupted; go on with: python cross_validate.py ckpt_path=%s", folder)
        raise
    if failed := [outcome.name for outcome in outcomes if outcome.status]:
        raise SerError(
            f"{len(failed)} of {len(runs)} runs failed ({', '.join(failed)}), so there is no table; see {OUTPUT} in "
            f"their folders, and go on with: python cross_validate.py ckpt_path={folder}"
        )


def _command(run: FoldRun, train_script: Path) -> Command:
    # New or half done, a run is begun alike: by the settings that its folder holds.
    quoted = str(run.folder).replace("\\", "\\\\").replace("'", "\\'")
    return Command(
        name=run.folder.name,
        arguments=(sys.executable, str(train_script), f"ckpt_path='{quoted}'"),
        output=run.folder / OUTPUT,
    )


def _tell(outcome: Outcome, run: FoldRun, outcomes: Sequence[Outcome], *, n_runs: int, jobs: int) -> None:
    done = f"[{len(outcomes)}/{n_runs}] {outcome.name}"
    if outcome.status:
        log.error("%s failed (exit status %d): %s", done, outcome.status, _last_line(run.folder / OUTPUT))
        return
    uar = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))["overall"]["uar"]
    mean = sum(each.seconds for each in outcomes) / len(outcomes)
    left = mean * (n_runs - len(outcomes)) / min(jobs, n_runs)
    time_left = f"; about {_span(left)} left" if left else ""
    log.info("%s: validation UAR %.2f%%, in %s%s", done, 100 * uar, _span(outcome.seconds), time_left)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        lines = file.read().decode("utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")
