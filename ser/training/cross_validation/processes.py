"""Commands side by side, a few at a time; none outlives its parent, and a folder belongs to one parent at a time."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ser.errors import SerError

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line, and the file that what it prints is added to."""

    name: str
    arguments: tuple[str, ...]
    output: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A command that has ended: its exit status (negative: the signal that killed it) and how long it took."""

    name: str
    status: int
    seconds: float


@contextmanager
def folder_lock(folder: Path) -> Iterator[int]:
    """Hold `folder` for this process, and for whoever is given the file descriptor that is yielded.

    The lock is the kernel's: it ends with the last process that holds the descriptor, however that one ends. So
    children that outlived a killed parent still keep others from writing where they write.

    Raises
    ------
    SerError : another process holds it.
    """
    import fcntl  # POSIX only

    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SerError(
                f"{folder} is in use: a cross-validation, or a run that one has left behind, is still at work there; "
                "wait for it to end, or end it."
            ) from None
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def ending_by_exception() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit, so that `finally` blocks end what was started; Ctrl-C does as it is."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_commands(
    commands: Sequence[Command], *, jobs: int, environment: Mapping[str, str], inherited: Sequence[int] = ()
) -> Iterator[Outcome]:
    """Run `commands` in their order, `jobs` at a time, and yield each as it ends; closing the iterator ends them all.

    Parameters
    ----------
    environment : variables that are set beside our own.
    inherited : file descriptors that the commands are given.
    """
    waiting = deque(commands)
    running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                command = waiting.popleft()
                running[command.name] = (_start(command, environment, inherited), time.monotonic())
            ended = [name for name, (process, _) in running.items() if process.poll() is not None]
            for name in ended:
                process, started = running.pop(name)
                yield Outcome(name=name, status=process.returncode, seconds=time.monotonic() - started)
            if not ended:
                time.sleep(_POLL_SECONDS)
    finally:
        _end([process for process, _ in running.values()])


def _start(command: Command, environment: Mapping[str, str], inherited: Sequence[int]) -> subprocess.Popen[bytes]:
    command.output.parent.mkdir(parents=True, exist_ok=True)
    with command.output.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own command lines
            command.arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            pass_fds=inherited,
            # Ctrl-C on the terminal reaches its whole group: the children are told by us, and once.
            start_new_session=True,
        )


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
