"""A folder or file by its path, or by an address such as `s3://bucket/folder`, which the package fsspec opens."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ser.data.files import replace_when_complete
from ser.errors import SettingsError, missing_package, printable

_LOCAL = ("file://", "local://")


def is_address(name: str) -> bool:
    """Whether `name` is no path but an address: `s3://bucket/a.wav`, `https://host/a.wav`, `memory://a.wav`."""
    return "://" in name and not name.startswith(_LOCAL)


def local_path(name: str) -> Path:
    """Return a path, also of an address of this machine, `file:///folder/a.wav`."""
    return Path(next((name.removeprefix(start) for start in _LOCAL if name.startswith(start)), name))


def open_filesystem(address: str) -> tuple[Any, str]:
    """Return the file system of an address, as fsspec has it, and the path within it.

    Raises
    ------
    SettingsError : fsspec, or its package for this kind of address, is not installed; or there is no such kind.
    """
    try:
        import fsspec
    except ImportError as error:
        raise SettingsError(f"{missing_package(error, printable(address))}.") from error
    try:
        filesystem, path = fsspec.core.url_to_fs(address)
    except Exception as error:  # ImportError, ValueError, and those of the packages for clouds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SettingsError(f"{printable(address)} cannot be opened: {reason.rstrip('.')}.") from error
    return filesystem, path


@dataclass(frozen=True)
class Folder:
    """A folder of files that are written whole or not at all. Where it is local, it is made with its first file.

    Attributes
    ----------
    name : its path, or its address.
    """

    name: str

    def __str__(self) -> str:
        return printable(self.name)

    @property
    def local(self) -> Path | None:
        """Its path; None of an address."""
        return None if is_address(self.name) else local_path(self.name)

    def names(self) -> set[str]:
        """Return the names of the files and folders in it; none where it is missing."""
        if self.local is not None:
            return {path.name for path in self.local.iterdir()} if self.local.is_dir() else set()
        filesystem, path = open_filesystem(self.name)
        filesystem.invalidate_cache(path)
        try:
            return {str(one).rstrip("/").rpartition("/")[2] for one in filesystem.ls(path, detail=False)}
        except FileNotFoundError:
            return set()

    def read(self, name: str) -> bytes:
        """Return the content of a file; raises OSError."""
        if self.local is not None:
            return (self.local / name).read_bytes()
        filesystem, path = open_filesystem(self.name)
        return bytes(filesystem.cat_file(f"{path.rstrip('/')}/{name}"))

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Yield a file to write to. It gets its name, in place of one that had it, if the block succeeds.

        At an address it is sent at once when it is complete, which stores of objects do whole or not at all.
        """
        if self.local is not None:
            with replace_when_complete(self.local / name) as temporary, temporary.open("wb") as file:
                yield file
            return
        content = io.BytesIO()
        yield content
        filesystem, path = open_filesystem(self.name)
        filesystem.makedirs(path, exist_ok=True)
        filesystem.pipe_file(f"{path.rstrip('/')}/{name}", content.getvalue())
