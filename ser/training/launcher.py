"""Many jobs, a few at a time, each in a process of its own: sweeps by launchers of ours, cross-validation."""

import importlib
import importlib.util
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NoReturn, Protocol

from hydra.core.override_parser.types import Quote, QuotedString

from ser.data.workers import core_count, start_worker
from ser.errors import SerError
from ser.training.outcome import OUTCOME, is_finished, read_outcome, write_outcome

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

OUTPUT = "output.log"
"""In the folder of a job: everything that it printed, over all attempts."""
LOCK = ".lock"
"""The file by which a process holds its folder."""
POLL_SECONDS, PATIENCE_SECONDS = 0.1, 20.0
"""Between looks at running jobs; and how long they have to end in."""
_LOCK_SECONDS = 0.5
"""How long a lock may be held by those who only look whether it is held."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A call of `main` in `module`, such as "ser.cli.train", with arguments of Hydra; it writes into `folder`.

    `configuration` is that of the run which the call begins or goes on with, resolved; empty where it cannot be
    resolved, which the job will find out. `overrides` are those of `arguments` that `job.json` is to name.
    """

    folder: Path
    module: str
    arguments: tuple[str, ...]
    configuration: Mapping[str, Any]
    overrides: tuple[str, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether its folder holds the outcome of the same settings, or of these with the test part scored as well."""
        return is_finished(self.folder, self.configuration)


class Running(Protocol):
    """A job that was started, here or on another machine."""

    def status(self) -> int | None:
        """Return its exit status, negative for the signal that killed it; None while it runs."""

    def terminate(self) -> None:
        """Ask it to end."""

    def end(self, patience: float) -> None:
        """Wait for its end for so many seconds, then kill it and what it has left behind."""


class RunJobs(Protocol):
    """What runs jobs, as `run_jobs` does."""

    def __call__(self, jobs: Sequence[Job], /, *, at_once: int, folder: Path, resume: str) -> None:
        """Run the unfinished of `jobs`."""


@dataclass(frozen=True)
class JobProcess:
    """A job in a process of its own on this machine, with one thread; it ends when this process ends."""

    process: SpawnProcess

    @classmethod
    def start(cls, job: Job) -> "JobProcess":
        """Start a job, whose folder is there."""
        process = multiprocessing.get_context("spawn").Process(target=_run, args=(job,))
        process.start()
        return cls(process)

    def status(self) -> int | None:
        return self.process.exitcode

    def terminate(self) -> None:
        self.process.terminate()

    def end(self, patience: float) -> None:
        self.process.join(patience)
        self.process.kill()  # does nothing to one that has ended
        self.process.join()
        if hasattr(os, "killpg") and self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # such as the processes of its further devices


def quoted(path: Path | str) -> str:
    """Return a path, or another text, as a value in an override of Hydra: in quotes."""
    return QuotedString(str(path), Quote.single).with_quotes()


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder`, made where it is missing; SerError where another process holds it. Windows locks nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        deadline = time.monotonic() + _LOCK_SECONDS
        while fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it, however the process ends
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SerError(f"{folder} is in use by another command; wait for it to end, or end it.") from None
                time.sleep(POLL_SECONDS)
        yield


def run_jobs(
    jobs: Sequence[Job], *, at_once: int, folder: Path, resume: str, start: Callable[[Job], Running] = JobProcess.start
) -> None:
    """Run the unfinished of `jobs` in their order, `at_once` at a time (0: as many as cores), with one thread each.

    A job that a signal has killed is tried once more, after the others. All jobs end when this process ends; Ctrl-C and
    SIGTERM end it by an exception. Messages name `folder`, that of all jobs, and `resume`, the command that finishes an
    interrupted or failed job.

    Parameters
    ----------
    start : starts a job whose folder is there; by default as a process on this machine.

    Raises
    ------
    SerError : jobs failed; the others have ended.
    """
    waiting = deque(job for job in jobs if not job.is_finished)
    total = len(waiting)
    if total < len(jobs):
        log.info("%d of %d jobs are finished already", len(jobs) - total, len(jobs))
    if not waiting:
        return
    at_once = min(at_once or core_count(), total)
    log.info("%d jobs, %d at a time; the output of each is in %s/<job>/%s", total, at_once, folder, OUTPUT)
    retried, seconds, failed = list[Job](), list[float](), list[str]()
    running: dict[Running, tuple[Job, float]] = {}
    before = _end_on_sigterm()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.popleft()
                job.folder.mkdir(parents=True, exist_ok=True)
                (job.folder / OUTPUT).touch()
                (job.folder / OUTCOME).unlink(missing_ok=True)  # of other settings
                running[start(job)] = (job, time.monotonic())
            time.sleep(POLL_SECONDS)
            for each, status in [(each, each.status()) for each in running]:
                if status is None:
                    continue
                job, started = running.pop(each)
                name, outcome = job.folder.name, read_outcome(job.folder)
                if status:
                    each.end(0)
                if status < 0 and job not in retried:
                    log.warning("%s died (signal %d); it is tried once more", name, -status)
                    retried.append(job)
                    waiting.append(job)
                    continue
                seconds.append(time.monotonic() - started)
                value = outcome.get("value")  # None, too, without an optimized_metric
                result = "done" if value is None else f"{outcome['metric']} {value:.4f}"
                if status:
                    failed.append(name)
                    error = outcome.get("error") or _record_failure(job, status)
                    result = f"failed (exit status {status}): {error}"
                left = sum(seconds) / len(seconds) * (total - len(seconds)) / at_once
                progress = f"[{len(seconds)}/{total}] {name}: {result}"
                log.info("%s; %.0f s, about %.0f s left", progress, seconds[-1], left)
    except (KeyboardInterrupt, SystemExit):
        log.warning("Interrupted; continue with: %s", resume)
        raise
    finally:
        for each in running:
            each.terminate()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for each in running:
            each.end(max(0.0, deadline - time.monotonic()))
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    if failed:
        listed = f"{len(failed)} of {total} jobs failed ({', '.join(failed)})"
        raise SerError(f"{listed}; see {OUTPUT} in their folders in {folder}, and continue with: {resume}")


@contextmanager
def deaths_in_one_sentence(resume: str) -> Iterator[None]:
    """Raise SerError, which names `resume`, where a launcher of others says that one of its jobs died."""
    try:
        yield
    except BrokenProcessPool as error:
        raise SerError(
            "A job of joblib's pool was killed, most likely because memory ran out, and the pool ended with it; run "
            f"the jobs that are missing by {resume} (a lower hydra.launcher.n_jobs needs less memory)."
        ) from error
    except Exception as error:
        # Those of submitit, without an import of it.
        if type(error).__name__ not in ("UncompletedJobError", "FailedJobError"):
            raise
        raise SerError(
            "A job of submitit ended without a result: it was killed, or ran into a limit of memory or time; what it "
            "printed is in the folder hydra.launcher.submitit_folder; once the others have ended, run the jobs that "
            f"are missing by {resume}."
        ) from error


def _end_on_sigterm() -> Any:
    """Let SIGTERM raise SystemExit, which ends the jobs first; return the handler before, None where none was set."""
    if threading.current_thread() is not threading.main_thread():  # which alone may set one
        return None

    def end(number: int, frame: object) -> NoReturn:
        sys.exit(128 + number)

    return signal.signal(signal.SIGTERM, end)


def _record_failure(job: Job, status: int) -> str:
    """Write `job.json` for a job that left none, and return the error in it: the last line that the job printed."""
    printed = (job.folder / OUTPUT).read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
    error = f"killed by signal {-status}" if status < 0 else printed.removeprefix("error: ") or "without output"
    write_outcome(job.folder, overrides=job.overrides, metric=job.configuration.get("optimized_metric"), error=error)
    return error


def _run(job: Job) -> NoReturn:
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in a terminal reaches a whole group: the jobs end by our signal, once
    with (job.folder / OUTPUT).open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    start_worker()  # with one thread, so that results do not depend on how many jobs run
    # Lightning starts the processes of further devices by the command line, which here is still that of the parent.
    sys.argv[1:] = [job.module.rpartition(".")[2].replace("_", "-"), *job.arguments]
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("ser.__main__")
    sys.exit(importlib.import_module(job.module).main(list(job.arguments)))
