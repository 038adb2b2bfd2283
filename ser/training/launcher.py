"""Many jobs, a few at a time, each in a process of its own: sweeps by `hydra/launcher=processes`, cross-validation.

A job calls the `main` of one of our modules with arguments of Hydra; `python -m ser.training.launcher` is its process.
"""

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ser.data.workers import THREAD_VARIABLES, core_count
from ser.errors import SerError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

OUTPUT = "output.log"
"""In the folder of a job: everything that it printed, over all attempts."""
OUTCOME = "job.json"
"""In the folder of a finished job, by `ser.training.sweep.SweepTable`: its overrides, and its metric with the value."""

_POLL_SECONDS, _PATIENCE_SECONDS = 0.1, 20.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """A call of `main` in `module`, such as "ser.cli.train", with `arguments`; it writes into `folder`."""

    folder: Path
    module: str
    arguments: tuple[str, ...]

    def outcome(self) -> dict[str, Any]:
        """Return the content of job.json; empty without one."""
        path = self.folder / OUTCOME
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return found


def quoted(path: Path) -> str:
    """Return a path as a value in an override of Hydra."""
    return "'{}'".format(str(path).replace("\\", "\\\\").replace("'", "\\'"))


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder`, which is made where it is missing, for this process; on Windows nothing is locked.

    Raises
    ------
    SerError : another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it, however the process ends
            except BlockingIOError:
                raise SerError(f"{folder} is in use by another command; wait for it to end, or end it.") from None
        yield


def run_jobs(jobs: Sequence[Job], *, at_once: int, folder: Path, resume: str) -> None:
    """Run `jobs` in their order, `at_once` at a time (0: as many as cores), with one thread each.

    A job that a signal has killed is tried once more, after the others. SIGINT, SIGTERM and SIGHUP end all jobs.

    Parameters
    ----------
    folder : of all jobs, for messages.
    resume : the command that finishes an interrupted or failed job.

    Raises
    ------
    SerError : jobs failed; the others have ended.
    """

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    at_once = min(at_once or core_count(), len(jobs))
    log.info("%d jobs, %d at a time; the output of each is in %s/<job>/%s", len(jobs), at_once, folder, OUTPUT)
    waiting, retried, seconds, failed = deque(jobs), set[Path](), list[float](), list[str]()
    running: dict[subprocess.Popen[bytes], tuple[Job, float]] = {}
    lifeline, ours = os.pipe()  # nothing is written: it ends with this process, and all jobs with it
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # nohup ignores SIGHUP; a handler that is None was not set by Python, which could not put it back.
    signals = [number for number in signals if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    handlers = [signal.signal(number, leave) for number in signals]
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.popleft()
                running[_start(job, lifeline)] = (job, time.monotonic())
            time.sleep(_POLL_SECONDS)
            for process in [each for each in running if each.poll() is not None]:
                (job, started), status = running.pop(process), process.returncode
                name, outcome = job.folder.name, job.outcome()
                if status < 0 and job.folder not in retried:
                    log.warning("%s died (signal %d); it is tried once more", name, -status)
                    retried.add(job.folder)
                    waiting.append(job)
                    continue
                seconds.append(time.monotonic() - started)
                result = f"{outcome['metric']} {outcome['value']:.4f}" if outcome else "done"
                if status:
                    failed.append(name)
                    result = f"failed (exit status {status}): {_last_line(job.folder / OUTPUT)}"
                left = sum(seconds) / len(seconds) * (len(jobs) - len(seconds)) / at_once
                progress = f"[{len(seconds)}/{len(jobs)}] {name}"
                log.info("%s: %s; %.0f s, about %.0f s left", progress, result, seconds[-1], left)
    except (KeyboardInterrupt, SystemExit):
        log.warning("Interrupted; continue with: %s", resume)
        raise
    finally:
        _end(list(running))
        os.close(lifeline)
        os.close(ours)
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)
    if failed:
        listed = f"{len(failed)} of {len(jobs)} jobs failed ({', '.join(failed)})"
        raise SerError(f"{listed}; see {OUTPUT} in their folders in {folder}, and continue with: {resume}")


def _start(job: Job, lifeline: int) -> "subprocess.Popen[bytes]":
    job.folder.mkdir(parents=True, exist_ok=True)
    # One thread each, so that results do not depend on how many jobs run; our package is found as we have found it.
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    with (job.folder / OUTPUT).open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own command lines
            [sys.executable, "-m", "ser.training.launcher", job.module, *job.arguments],
            stdin=lifeline,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1"), "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C in a terminal reaches a whole group: the jobs end by our signal, once
        )


def _end(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "without output")


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(importlib.import_module(sys.argv[1]).main(sys.argv[2:]))
