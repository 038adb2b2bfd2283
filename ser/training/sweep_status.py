"""How far a sweep, a search or a cross-validation is, from its folder alone: `ser sweep status`."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from tabulate import tabulate

from ser.data.files import is_locked
from ser.errors import CheckpointError
from ser.inference.run_folder import CHECKPOINTS, CONFIGURATION, OUTCOME, SWEEP
from ser.training.configuration import read_configuration
from ser.training.cross_validation.plan import plan
from ser.training.launcher import LOCK, OUTPUT
from ser.training.outcome import PRUNED, is_minimised, read_outcome

FINISHED, PRUNED_EARLY, RUNNING, FAILED, INTERRUPTED, MISSING = (
    "finished", "pruned", "running", "failed", "interrupted", "missing",
)  # fmt: skip
_EXPLAINED = {
    RUNNING: "a process holds the lock in the folder of the job",
    INTERRUPTED: "begun, not ended, and no process holds the lock; so is one that is just being started",
}
_NUMBERED = "${hydra.job.num}"
_ERROR_WIDTH = 60


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """A job of a sweep.

    Attributes
    ----------
    state : "finished", "pruned" (ended early by `ser tune`), "running", "failed", "interrupted" or "missing".
    value : of the optimised metric; None without one.
    age : seconds since a file of it was written; None where there is none.
    detail : the error of a failed job, else its overrides.
    """

    name: str
    state: str
    value: float | None
    age: float | None
    detail: str


@dataclass(frozen=True, kw_only=True)
class SweepStatus:
    """The jobs of a sweep, with those of the missing ones whose settings are known.

    Attributes
    ----------
    further : jobs that are missing, of which nothing is known yet but their number: those of a search.
    metric : the optimised metric, and whether less of it is better.
    """

    jobs: tuple[JobStatus, ...]
    further: int
    metric: str | None
    minimised: bool

    @property
    def counts(self) -> Counter[str]:
        """State -> number of jobs."""
        return Counter(job.state for job in self.jobs) + Counter({MISSING: self.further})

    @property
    def best(self) -> JobStatus | None:
        """The best of the finished jobs; None where none has a metric."""
        values = {job.value: job for job in reversed(self.jobs) if job.state == FINISHED and job.value is not None}
        return values[min(values) if self.minimised else max(values)] if values else None

    @property
    def exit_status(self) -> int:
        """0 where all jobs are finished, 3 while jobs run, else 1."""
        counts = self.counts
        if counts[RUNNING]:
            return 3
        return 0 if counts.keys() <= {FINISHED, PRUNED_EARLY} else 1


def sweep_status(folder: Path) -> SweepStatus:
    """Return how far the sweep, the search or the cross-validation in `folder` is.

    Raises
    ------
    CheckpointError : it holds none.
    SettingsError : as `ser.training.cross_validation.plan.plan`.
    """
    if (folder / SWEEP).is_file():
        configuration = OmegaConf.load(folder / SWEEP)
        assert isinstance(configuration, DictConfig)
        expected, total = _jobs_of_sweep(configuration)
    elif (folder / CONFIGURATION).is_file() and "folds" in (configuration := read_configuration(folder)):
        configuration.paths.run_dir, configuration.ckpt_path = str(folder), None  # it may have been moved
        expected = {run.folder.name: "" for run in plan(configuration)[1]}
        total = len(expected)
    else:
        raise CheckpointError(
            f"{folder} is no folder of a sweep or a cross-validation: it has neither {SWEEP} nor folds."
        )
    left = (OUTCOME, LOCK, OUTPUT, CONFIGURATION)
    begun = {path.parent.name for name in left for path in folder.glob(f"[!.]*/{name}")}  # .hydra is no job
    names = sorted({*expected, *begun}, key=lambda name: (len(name), name))
    jobs = tuple(_status_of(folder / name, expected.get(name, "")) for name in names)
    metric = OmegaConf.select(configuration, "optimized_metric")
    ended = sum(job.state not in (INTERRUPTED, MISSING) for job in jobs)
    further = 0 if expected else max(0, total - ended - sum(job.state == INTERRUPTED for job in jobs))
    return SweepStatus(jobs=jobs, further=further, metric=metric, minimised=is_minimised(configuration))


def format_status(status: SweepStatus) -> str:
    """Return the counts, a line for each job, and the best so far, as text."""
    counts, total = status.counts, len(status.jobs) + status.further
    order = (FINISHED, PRUNED_EARLY, RUNNING, FAILED, INTERRUPTED, MISSING)
    listed = ", ".join(f"{counts[state]} {state}" for state in order if counts[state])
    lines = [f"{total} jobs: {listed}"]
    lines += [f"{state}: {why}" for state, why in _EXPLAINED.items() if counts[state]]
    rows = [
        (job.name, job.state, "-" if job.value is None else f"{job.value:.4f}", _ago(job.age), job.detail)
        for job in status.jobs
    ]
    headers = ("job", "state", status.metric or "value", "last write", "overrides or error")
    lines += [tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True)] if rows else []
    if (best := status.best) is not None:
        lines.append(
            f"Best so far: {best.name}, {status.metric} {best.value:.4f}" + (f": {best.detail}" * bool(best.detail))
        )
    return "\n".join(lines) + "\n"


def _jobs_of_sweep(configuration: DictConfig) -> tuple[dict[str, str], int]:
    """Return the jobs with their overrides, where they can be known beforehand, and how many there are."""
    hydra = OmegaConf.to_container(configuration.hydra, resolve=False)
    assert isinstance(hydra, dict)
    sweeper = hydra["sweeper"]
    if "n_trials" in sweeper:
        return {}, int(sweeper["n_trials"])
    given = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    given += hydra["overrides"]["task"]
    try:
        (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(given), max_batch_size=None)
    except (HydraException, ValueError):  # of another sweeper, or choices that are the files of a folder
        return {}, 0
    if hydra["sweep"]["subdir"] != _NUMBERED:
        return {}, len(jobs)
    return {str(number): _shortened(overrides) for number, overrides in enumerate(jobs)}, len(jobs)


def _status_of(folder: Path, overrides: str) -> JobStatus:
    outcome = read_outcome(folder)
    error = outcome.get("error")
    if is_locked(folder / LOCK):
        state = RUNNING
    elif error:
        state = FAILED
    elif outcome:
        state = PRUNED_EARLY if (folder / PRUNED).is_file() else FINISHED
    else:
        state = INTERRUPTED if folder.is_dir() else MISSING
    ended = state in (FINISHED, PRUNED_EARLY)
    written = [path.stat().st_mtime for path in (*folder.glob("*"), *folder.glob(f"{CHECKPOINTS}/*")) if path.is_file()]
    detail = str(error) if state == FAILED else _shortened(outcome.get("overrides") or ()) or overrides
    return JobStatus(
        name=folder.name,
        state=state,
        value=outcome["value"] if ended else None,
        age=max(0.0, time.time() - max(written)) if written else None,
        detail=detail if len(detail) <= _ERROR_WIDTH or state != FAILED else f"{detail[: _ERROR_WIDTH - 3]}...",
    )


def _shortened(overrides: Sequence[str]) -> str:
    """Return overrides in a line, without the folder that a run of a cross-validation is resumed from."""
    return " ".join(one for one in overrides if not one.startswith("ckpt_path="))


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{math.floor(seconds / size)} {unit} ago"
    return f"{math.floor(seconds)} s ago"
