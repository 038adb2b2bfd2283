"""What an attack is, and what must come of it: the one error of its door in one sentence, and nothing run."""

import contextlib
import io
import signal
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser.errors import SerError

SECONDS = 60
LONGEST = 1_500
"""Characters of a message; one that lists all settings of the trainer has 1,200."""


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


def attacks_by(
    door: str,
    refused_by: type[SerError],
    kinds: Mapping[str, Any],
    attempt: Callable[[Path, Path, Any], object],
    alive: Callable[[Path], object] | None = None,
) -> list[Attack]:
    """Return an attack for each kind; what the kind stands for is the third argument of `attempt`."""
    return [
        Attack(f"{door}: {kind}", refused_by, lambda *folders, given=given: attempt(*folders, given), alive)
        for kind, given in kinds.items()
    ]


class TooSlow(BaseException):
    """Not an Exception: no handler of the doors may take it for damage."""


def fault_of(attack: Attack, folder: Path) -> str | None:
    """Make the attack below `folder`; return what went wrong, or None where it was refused as it should be."""
    room, canary = folder / "room", folder / "canary"
    room.mkdir()
    fault = _outcome(attack, room, canary)
    if canary.exists():
        return "something was run"
    if beside := sorted(path.name for path in folder.iterdir() if path != room):
        return f"there is now {beside} outside"
    if fault is None and attack.alive is not None:
        with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
            attack.alive(room)
        return None if canary.exists() else "the payload is not a live one"
    return fault


def _outcome(attack: Attack, room: Path, canary: Path) -> str | None:
    """Return what other than the right refusal came."""
    old = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings(action="ignore"):
            attack.attempt(room, canary)
    except TooSlow:
        return f"took more than {SECONDS} s"
    except attack.refused_by as refusal:
        message = str(refusal).replace(str(room), "")
        serves = "\n" not in message and len(message) <= LONGEST
        return None if serves else f"the message does not serve: {message[:200]!r}"
    except Exception as error:  # that no other kind comes is what is tried
        return f"was refused by {type(error).__name__}, not {attack.refused_by.__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    return "was accepted"


def _too_slow(*_: object) -> None:
    raise TooSlow
