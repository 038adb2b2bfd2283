"""Atomic writes, by a temporary name from which a file is moved into place; locks; folders of one's own."""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO

from ser.errors import SettingsError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


@contextmanager
def replace_when_complete(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; move what was written there onto `path` if the block succeeds.

    The folder is created if need be. A reader of `path` sees the old file or the new one, never a part. If the block
    raises, `path` is unchanged and the temporary file is gone. The temporary path ends in `.partial`, so that a
    leftover of a killed process is not taken for a finished file: a writer that chooses the format by the suffix
    needs the format as an argument.

    Parameters
    ----------
    durable : wait until the content is on the disk, so that not even a power cut leaves a part of it. Content that
        has a checksum and can be made again need not wait.

    Raises
    ------
    OSError : the folder or the file cannot be written, or the block wrote nothing; it names the folder or `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            if durable:
                os.fsync(file.fileno())  # else a power cut after the move may leave the new name on an empty file
        temporary.replace(path)
    except OSError as error:
        # A write to a full disk names no file at all.
        if error.filename is not None and str(error.filename) != str(temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # the name that the caller knows
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 with the line ends it has, whole or not at all; see `replace_when_complete`."""
    with replace_when_complete(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_bytes_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to `path`, whole or not at all; see `replace_when_complete`."""
    with replace_when_complete(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold the file `path`, which is made where it is missing, for this process; wait while another process holds it.

    On Windows nothing is locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)  # the kernel frees it, however the process ends
        yield


def locked_or_refused(file: IO[bytes], path: Path) -> None:
    """Hold `file`, which is open, for this process until it is closed or the process ends; do not wait.

    On Windows, and on file systems without locks, nothing is locked.

    Raises
    ------
    SettingsError : another process holds it; the error names `path`.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it, however the process ends
    except BlockingIOError as error:
        raise SettingsError(f"Another process writes to {path}; wait for it, or name another.") from error
    except OSError:  # a file system without locks
        log.debug("%s cannot be locked", path)


def is_locked(path: Path) -> bool:
    """Whether a process holds the file `path`, as `waiting_lock` does.

    One on another machine is seen where the file system shares its locks, as NFS does. On Windows nothing is locked.
    """
    if fcntl is None or not path.is_file():
        return False
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def claim_folder(path: Path) -> Path:
    """Make a new folder and return it: `path`, or where that exists `path`-2, `path`-3, ...

    The folders above it are made where they are missing. No two callers are given the same one, in whatever processes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    candidates = (path if number == 1 else path.with_name(f"{path.name}-{number}") for number in count(1))
    for folder in candidates:
        with suppress(FileExistsError):
            folder.mkdir()
            break
    return folder
