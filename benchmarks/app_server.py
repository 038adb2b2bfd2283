"""The app on its real server, in a process of its own; shared by the browser tests and the memory benchmark."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEALTH = "/_stcore/health"
_SECONDS_TO_START = 90
_SECONDS_TO_STOP = 10


@dataclass(frozen=True, kw_only=True)
class AppServer:
    """A server that answers.

    Attributes
    ----------
    url : of the page, without a slash at the end.
    process : the server's.
    log : the file that holds what it has printed.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def running_app(
    log: Path,
    *,
    arguments: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    python: str = sys.executable,
    root: Path = ROOT,
) -> Iterator[AppServer]:
    """Start the app on a free port of this machine, wait until it is healthy, and stop it at the end.

    Parameters
    ----------
    log : file to write what the server prints to.
    arguments : of the app, such as `--model=<path>`.
    variables : of the environment, beside those of this process.
    python : the interpreter; root : the folder that the command is run in, which holds app/.

    Raises
    ------
    RuntimeError : it ended, or is not healthy after 90 s; the message holds the log.
    """
    url = f"http://127.0.0.1:{(port := free_port())}"
    # Unwatched: sources that are edited meanwhile would be unloaded under the visitors' feet.
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    command = [python, "-m", "streamlit", "run", "app/app.py", *options, "--", *arguments]
    with serving(command, url, log, folder=root, environment={**os.environ, **(variables or {})}) as server:
        yield server


@contextmanager
def serving(
    command: Sequence[str], url: str, log: Path, *, folder: Path, environment: Mapping[str, str], health: str = HEALTH
) -> Iterator[AppServer]:
    """Run a command in `folder` that serves at `url`; wait for `health`, stop and raise as `running_app` does."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_healthy(url, process, log, health)
        yield AppServer(url=url, process=process, log=log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_healthy(url: str, health: str = HEALTH) -> bool:
    """Whether the health check of the server at `url` passes."""
    try:
        with urllib.request.urlopen(url + health, timeout=5) as answer:  # noqa: S310 - our own http address
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path, health: str) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while not is_healthy(url, health):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.1)


def free_port() -> int:
    """Return a port of this machine that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
