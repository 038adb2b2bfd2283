"""What an attack is: a file or a setting that a stranger made, and the one error that may come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ser.errors import SerError


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One kind of hostile input.

    Attributes
    ----------
    kind : what it is, in a few words; unique within its door.
    door : "checkpoint", "published model", "archive", "download" or "configuration".
    refused_by : the class of error that must come.
    attempt : makes the input in a new folder, the first argument, and gives it to the door. What it would run makes
        the second argument, a folder that is not there.
    alive : loads what `attempt` left as a careless program would, to show that it does what it threatens to.
    """

    kind: str
    door: str
    refused_by: type[SerError]
    attempt: Callable[[Path, Path], object]
    alive: Callable[[Path], object] | None = None
