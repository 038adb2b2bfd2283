"""Train the runs of a cross-validation that are not finished, then write the scores of all."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser.corpora.selection import class_order
from ser.evaluation.cross_validation.record import CrossValidation
from ser.evaluation.cross_validation.report import write_results
from ser.evaluation.cross_validation.summary import Summary, summarise
from ser.inference.run_folder import find_checkpoint
from ser.training.configuration import write_configuration
from ser.training.cross_validation.command import begun_by
from ser.training.cross_validation.plan import PlannedRun
from ser.training.cross_validation.settings import CrossValidationSettings, describe_protocol
from ser.training.fine_tuning import describe_fine_tuning, initial_of_resumed
from ser.training.launcher import RunJobs, folder_lock, run_jobs
from ser.training.run import build_data

log = logging.getLogger(__name__)


def cross_validate(
    settings: CrossValidationSettings,
    runs: Sequence[PlannedRun],
    *,
    folder: Path,
    configuration: Mapping[str, Any],
    run_jobs: RunJobs = run_jobs,
) -> Summary:
    """Train the unfinished ones of `runs`, and write the results of all of them into `folder`.

    Parameters
    ----------
    configuration : of the cross-validation, kept in `folder`; unresolved, so that it can be resumed.
    run_jobs : runs the jobs; by default as processes on this machine.

    Raises
    ------
    SerError : runs failed, or another command is at work in `folder`.
    """
    with folder_lock(folder):
        write_configuration(folder, dict(configuration))
        waiting = [run for run in runs if not run.job.is_finished]
        # The corpus and the features of all folds are brought into the cache first, with all cores: jobs side by side
        # would each compute the same.
        for run in {run.settings.data.augment_seed: run for run in reversed(waiting)}.values():
            build_data(run.settings).setup()
        for run in waiting:
            write_configuration(run.folder, dict(run.configuration))
        resume = f"ser cross-validate ckpt_path={folder}"
        run_jobs([run.job for run in runs], at_once=settings.jobs, folder=folder, resume=resume)
        summary = summarise(describe(settings, runs, folder=folder))
        log.info("%s", write_results(summary, folder))
        log.info("Everything of this cross-validation is in %s", folder)
        return summary


def describe(settings: CrossValidationSettings, runs: Sequence[PlannedRun], *, folder: Path) -> CrossValidation:
    """Return what the evaluation needs; the runs are finished, if the corpora have the classes."""
    run, classes = runs[0], {run.fold: run.settings.data.classes or read_class_names(run.folder) for run in runs}
    class_names = class_order(name for of_fold in classes.values() for name in of_fold)
    protocol = describe_protocol(settings, run.settings, scored=run.parts, n_classes=len(class_names))
    if run.settings.init_from is not None:
        entry = initial_of_resumed(find_checkpoint(run.folder), run.settings.features.own_groups)
        protocol = describe_fine_tuning(entry, protocol)
    return CrossValidation(
        folder=folder,
        protocol=protocol,
        folds=tuple(classes),
        seeds=settings.seeds,
        parts=run.parts,
        class_names=class_names,
        bootstrap_resamples=settings.bootstrap_resamples,
        bootstrap_seed=settings.bootstrap_seed,
        target_selective_accuracy=settings.target_selective_accuracy,
        keeps_last=run.settings.best_epoch_by[0] is None,
        command=begun_by(folder, settings),
    )


def read_class_names(folder: Path) -> tuple[str, ...]:
    """Return the classes of a finished run, in the order of its model."""
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["class_names"]
    return tuple(map(str, found))


def monitored(summary: Summary, name: str) -> float:
    """Return what a sweep of cross-validations is sorted by: a validation score, averaged over folds and seeds.

    Parameters
    ----------
    name : "val/loss", "val/accuracy" or "val/uar".
    """
    score = name.removeprefix("val/")
    means = summary.results["summary"]["validation"]["mean_over_folds"]
    return float(means["log_loss" if score == "loss" else score]["mean"])
