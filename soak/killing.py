"""Start a command and send it SIGKILL at a chosen moment, with all the processes that it has started."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

PATIENCE = 900.0
"""Seconds after which a command that does not get on is a failure."""
_LOOKS_EVERY = 0.0005


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is to be run.

    Attributes
    ----------
    arguments, folder, environment : of the process.
    begins : whether it is past its start: moments are counted from then.
    """

    arguments: Sequence[str]
    folder: Path
    environment: dict[str, str]
    begins: Callable[[], bool]

    def to_its_end(self) -> float:
        """Run it, and return how many seconds it took once it had begun.

        Raises
        ------
        RuntimeError : it failed; the message holds what it said.
        """
        with self._started() as (process, output):
            begun = self._wait_for(process, self.begins)
            process.wait(timeout=PATIENCE)
            elapsed = time.monotonic() - begun
            if process.returncode:
                output.seek(0)
                said = output.read().decode(errors="replace")
                raise RuntimeError(f"{' '.join(self.arguments)} failed:\n{said}")
        return elapsed

    def until(self, moment: Callable[[], bool]) -> bool:
        """Run it and kill it when `moment` is true after it has begun; return whether it was still running then."""
        with self._started() as (process, _):
            self._wait_for(process, self.begins)
            self._wait_for(process, moment)
            return _is_running(process)  # and is killed on the way out

    def for_seconds(self, seconds: float) -> bool:
        """Run it and kill it `seconds` after it has begun; return whether it was still running then."""
        ends: list[float] = []

        def is_over() -> bool:
            ends.append(time.monotonic() + seconds if not ends else ends[0])
            return time.monotonic() >= ends[0]

        return self.until(is_over)

    @contextmanager
    def _started(self) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(  # noqa: S603 - our own command
                self.arguments,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield process, output
            finally:
                if process.returncode is None:  # not waited for, so that the number is still its own
                    os.killpg(process.pid, signal.SIGKILL)
                    while _lives(group=process.pid):  # the kernel ends them one by one: nobody may still be writing
                        time.sleep(_LOOKS_EVERY)
                    process.wait()

    def _wait_for(self, process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> float:
        """Return the moment when `condition` is true, or the process has ended without a word of it."""
        deadline = time.monotonic() + PATIENCE
        while not condition() and _is_running(process):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(self.arguments)} does not get on")
            time.sleep(_LOOKS_EVERY)
        return time.monotonic()


def moments(count: int, *, longest: float, seed: int) -> list[float]:
    """Return `count` random moments from 0 to `longest`, one in each of as many equal parts: no phase is spared."""
    rng = np.random.default_rng(seed)
    return ((np.arange(count) + rng.uniform(size=count)) / count * longest).tolist()


def contents_of(folder: Path) -> dict[str, bytes]:
    """Return path -> content of all files below `folder`."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _is_running(process: subprocess.Popen[bytes]) -> bool:
    # Not poll(): it would take the exit status, and with it the number that the group is killed by.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _lives(*, group: int) -> bool:
    """Tell whether a process of the group still runs; one that is dead and not yet waited for does not (proc(5))."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        if int(of_group) == group and state not in "ZX":
            return True
    return False
