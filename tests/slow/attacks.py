"""What an attack is, and what must come of it: the one error of its door in one sentence, and nothing run."""

import contextlib
import io
import resource
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ser.errors import SerError

LONGEST = 1_500  # characters of a message; one that lists all settings of the trainer has 1,200


@dataclass(frozen=True)
class Attack:
    """One kind of hostile input.

    Attributes
    ----------
    kind : the door that it comes to and what it is, in a few words.
    refused_by : the class of error that must come.
    attempt : makes the input in a new folder, the first argument, and gives it to the door. What it would run makes
        the second argument, the canary: a folder that is not there.
    alive : loads what `attempt` left as a careless program would, to show that it does what it threatens to.
    """

    kind: str
    refused_by: type[SerError]
    attempt: Callable[[Path, Path], object]
    alive: Callable[[Path], object] | None = None


def attacks_by(door: str, refused_by: type[SerError], kinds, attempt, alive=None) -> list[Attack]:
    """Return an attack for each of `kinds`, name -> what it is or without names; `attempt` gets that as well."""
    if not isinstance(kinds, dict):
        kinds = {f"{number}, {str(kind)[:40]!a}": kind for number, kind in enumerate(kinds)}
    return [
        Attack(f"{door}: {kind}", refused_by, lambda *folders, given=given: attempt(*folders, given), alive)
        for kind, given in kinds.items()
    ]


def make(attack: Attack, folder: Path) -> None:
    """Make the attack below `folder`, which is empty, and check that it is refused as it should be."""
    room, canary = folder / "room", folder / "canary"
    room.mkdir()
    with pytest.raises(attack.refused_by) as refusal, limits(seconds=60, n_bytes=3 * 2**29):
        attack.attempt(room, canary)
    message = str(refusal.value).replace(str(room), "")
    assert "\n" not in message
    assert len(message) <= LONGEST
    assert list(folder.iterdir()) == [room], "something was run, or written outside"
    if attack.alive is not None:
        with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
            attack.alive(room)
        assert canary.exists(), "the payload is not a live one"


class TooSlow(BaseException):
    """Not an Exception: no handler of the doors may take it for damage."""


def _too_slow(*_: object) -> None:
    raise TooSlow


@contextlib.contextmanager
def limits(*, seconds: int, n_bytes: int) -> Iterator[None]:
    """End what takes longer, or more memory beyond what is taken already; warnings are not shown.

    The seconds are those of the processor, so that a busy machine fails nothing; by the clock it may take ten times as
    long, so that what only waits is ended too.
    """
    held = int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
    memory = resource.getrlimit(resource.RLIMIT_DATA)
    handlers = {number: signal.signal(number, _too_slow) for number in (signal.SIGALRM, signal.SIGPROF)}
    resource.setrlimit(resource.RLIMIT_DATA, (held + n_bytes, memory[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(10 * seconds)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_DATA, memory)
