"""What the subcommands share: how each ends, by one sentence or none."""

import codecs
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from ser.errors import SerError, missing_package

if TYPE_CHECKING:
    from ser.inference.own_parts import OwnParts

_PACKAGE = Path(__file__).parents[1]
IS_INSTALLED = (_PACKAGE / "conf").is_dir()
"""Whether this is no checkout, but what a wheel has installed."""
CONF_FOLDER = (_PACKAGE if IS_INSTALLED else _PACKAGE.parent) / "conf"

INTERRUPTED, TERMINATED, NO_READER = 130, 143, 141
"""The exit status after Ctrl-C, after SIGTERM, and where nobody reads on, as of `| head`: 128 and the signal."""
Networks = Annotated[
    list[str] | None,
    typer.Option(
        "--network", metavar="NAME=PATH", help="a network of your own that the model has: MyNet=my_package.MyNet"
    ),
]
FeatureGroups = Annotated[
    list[str] | None,
    typer.Option("--feature-group", metavar="NAME=PATH", help="a feature group of your own: mine=my_package.mine"),
]
Encoder = Annotated[
    str | None,
    typer.Option(help="the frozen speech encoder that the model was trained on: its folder, or its name on the hub"),
]


def own_parts(networks: list[str] | None, feature_groups: list[str] | None) -> "OwnParts":
    """Return what the options of `Networks` and `FeatureGroups` name, imported; the folder of the command is searched.

    Raises
    ------
    SettingsError : as `ser.inference.own_parts.import_own_parts`.
    """
    from ser.inference.own_parts import import_own_parts

    if networks or feature_groups:
        search_here()
    named = (_by_name("--network", networks), _by_name("--feature-group", feature_groups))
    return import_own_parts(*named)


def search_here() -> None:
    """Look for modules in the folder of the command too, where a user's own classes may lie."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def _by_name(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in given or ()]
    for name, _, path in pairs:
        if not name or not path:
            raise typer.BadParameter(f"{option} is {name!r}, but should be a name and a path: MyNet=my_package.MyNet.")
    return {name: path for name, _, path in pairs}


def exit_status(act: Callable[[], int]) -> int:
    """Return what `act` returns; print an error that a person can mend as one sentence and return 1.

    Ctrl-C ends in INTERRUPTED, a reader of standard output that is gone in NO_READER, and SIGTERM in SystemExit with
    TERMINATED, so that worker processes end too. A character that standard output lacks is printed as JSON escapes it.
    """
    _make_printable()
    try:
        with _terminable():
            status = act()
            sys.stdout.flush()  # here, since the interpreter would print a traceback
            return status
    except ModuleNotFoundError as error:
        _say(f"error: {missing_package(error, 'The command')}.")
        return 1
    except (SerError, OSError) as error:
        broken = _error_of_output(error)
        if broken is None or isinstance(error, SerError):
            _say(f"error: {error}")
            return 1
        if isinstance(broken, BrokenPipeError):
            return NO_READER
        _say(f"error: standard output cannot be written: {broken.strerror}.")
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED


def _say(sentence: str) -> None:
    with suppress(OSError):  # nobody is there to be told
        if sys.stderr is not None:
            print(sentence, file=sys.stderr, flush=True)


def _make_printable() -> None:
    if sys.stdout is None:  # closed, as `>&-` does
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end of the process
    codecs.register_error("ser.json", _as_json_escapes)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="ser.json")


def _as_json_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end


def _error_of_output(error: Exception) -> OSError | None:
    """Return why standard output cannot be written, after `error`; None where it can. What it holds is dropped."""
    try:
        sys.stdout.flush()
    except OSError as broken:
        with suppress(OSError, ValueError):  # the interpreter flushes once more at its end
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        return broken
    if not isinstance(error, OSError):
        return None
    if isinstance(error, BrokenPipeError):
        return error
    # Without a buffer (PYTHONUNBUFFERED) nothing is left to flush. Files that cannot be written are named in errors.
    is_unbuffered = getattr(sys.stdout, "write_through", False)
    is_full = error.errno in (errno.ENOSPC, errno.EIO) and error.filename is None
    return error if is_full and is_unbuffered else None


@contextmanager
def _terminable() -> Iterator[None]:
    """End the block by SystemExit on SIGTERM, unless somebody else handles it, or this is no main thread."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
