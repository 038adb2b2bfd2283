"""Processes that get SIGKILL at a chosen moment, with all that they have started; and two of the victims.

    python -m tests.slow.killing prepare READY CORPUS CACHE OUTPUT WORKERS GO
    python -m tests.slow.killing fetch READY ROOT ADDRESS SIZE MD5

READY is made when all is imported; a preparation then waits for GO.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np

from ser.augment.waveform import AugmentSettings
from ser.corpora.download import Archive, download_corpus
from ser.corpora.reading import find_recordings
from ser.data.cache import prepare
from ser.data.files import replace_when_complete
from ser.data.recipe import Recipe, Sample
from ser.features.settings import FeatureSettings
from tests.command_line import ROOT, users_environment

PATIENCE = 900.0  # seconds after which a command that does not get on is a failure


@dataclass(frozen=True)
class Victim:
    """What is to be run, and whether it is past its start: moments are counted from then."""

    arguments: Sequence[str]
    begins: Callable[[], bool]

    def to_its_end(self) -> float:
        """Run it; return how many seconds it took once it had begun. It must not fail."""
        with self._started() as (process, output):
            begun = time.monotonic()
            process.wait(timeout=PATIENCE)
            output.seek(0)
            assert process.returncode == 0, output.read().decode(errors="replace")
            return time.monotonic() - begun

    def killed_when(self, moment: Callable[[], bool]) -> bool:
        """Run it, kill it when `moment` is true after it has begun; return whether it was still running then."""
        with self._started() as (process, _):
            _wait_for(process, moment)
            return _is_running(process)  # and is killed on the way out

    def killed_after(self, seconds: float) -> bool:
        """The same, `seconds` after it has begun."""
        end = cache(lambda: time.monotonic() + seconds)  # asked for first when it has begun
        return self.killed_when(lambda: time.monotonic() >= end())

    @contextlib.contextmanager
    def _started(self) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
        """Start it, and wait until it has begun."""
        environment = users_environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                self.arguments, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                _wait_for(process, self.begins)
                yield process, output
            finally:
                if process.returncode is None:  # not waited for, so that the number is still its own
                    os.killpg(process.pid, signal.SIGKILL)
                    while _lives(group=process.pid):  # nobody may still be writing
                        time.sleep(0.0005)
                    process.wait()


def _wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Wait until `condition` is true, or the process has ended without a word of it."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and _is_running(process):
        assert time.monotonic() < deadline, f"{process.args} does not get on"
        time.sleep(0.0005)


def moments(count: int, *, longest: float) -> list[float]:
    """Return `count` random moments from 0 to `longest`, one in each of as many equal parts: no phase is spared."""
    rng = np.random.default_rng(0)
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
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            state, _, of_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(of_group) == group and state not in "ZX":
                return True
    return False


def _prepare(ready: str, corpus: str, cache: str, output: str, workers: str, go: str) -> None:
    """Fill the cache as training does, and write the matrix of features."""
    Path(ready).touch()
    while not Path(go).exists():
        time.sleep(0.001)
    recipe = Recipe(features=FeatureSettings(), augment=AugmentSettings(), augment_seed=0)
    samples = [Sample(recording=one, copy=copy) for one in find_recordings(Path(corpus)) for copy in (0, 1)]
    prepared = prepare(samples, recipe, cache_dir=Path(cache), workers=int(workers))
    assert not prepared.failures
    with replace_when_complete(Path(output)) as partial, partial.open("wb") as file:
        np.save(file, prepared.features)


def _fetch(ready: str, root: str, address: str, size: str, md5: str) -> None:
    Path(ready).touch()
    archive = Archive(channel="speech", name="Speech.zip", size=int(size), md5=md5)
    download_corpus(Path(root), archives=[archive], address=address)


if __name__ == "__main__":
    {"prepare": _prepare, "fetch": _fetch}[sys.argv[1]](*sys.argv[2:])
