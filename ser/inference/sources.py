"""Which recordings are meant: by files, folders, tables of files, and addresses of files and folders."""

import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ser.audio.folder import expand_folders
from ser.audio.formats import SUFFIXES
from ser.audio.io import MAX_STREAM_BYTES, Source
from ser.corpora.table import open_table
from ser.data.places import is_address, local_path, open_filesystem
from ser.errors import AudioError, CorpusError, printable

TABLES = (".csv", ".tsv", ".parquet")
_AT_ONCE = 16
"""Recordings that are fetched from an address while others are predicted."""


def find_recordings(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the recordings that names stand for, each once and in a fixed order, and remarks on what is left out.

    Parameters
    ----------
    names : of sound files; folders, of which the sound files below them; tables (CSV or Parquet with the column file,
        relative to their folder); and addresses of files and folders (`ser.data.places`).

    Raises
    ------
    AudioError : a path or address is not there, or a folder without a sound file.
    CorpusError : a table cannot be read, or has no such column.
    SettingsError : a package for the addresses is not installed.
    """
    found: dict[str, None] = {}
    remarks: list[str] = []
    for name in names:
        if is_address(name):
            found.update(dict.fromkeys(_below_address(name)))
        elif (path := local_path(name)).suffix.lower() in TABLES:
            found.update(dict.fromkeys(_in_table(path)))
        else:
            expanded = expand_folders([path])
            found.update(dict.fromkeys(map(str, expanded.files)))
            remarks += expanded.remarks
    return list(found), list(dict.fromkeys(remarks))


def _in_table(path: Path) -> Iterator[str]:
    n_rows = 0
    for row, cells in open_table(path, columns=("file",), required=("file",)).rows:
        if isinstance(cells, str):
            raise CorpusError(cells)
        n_rows += 1
        if not (file := cells[0]):
            raise CorpusError(f"{path}, row {row}, column file: it is empty; write the path of the recording.")
        yield file if is_address(file) else str(path.parent / local_path(file))
    if not n_rows:
        raise CorpusError(f"{path} names columns but has no rows; add a row for each recording.")


def _below_address(address: str) -> list[str]:
    filesystem, path = open_filesystem(address)
    try:
        if not filesystem.isdir(path):
            return [address]
        below = sorted(one for one in filesystem.find(path) if PurePosixPath(one).suffix.lower() in SUFFIXES)
    except Exception as error:  # those of the packages for clouds too
        raise AudioError(f"{printable(address)} cannot be opened ({_in_one_line(error)}).") from error
    if not below:
        raise AudioError(f"{printable(address)} holds no sound file ({', '.join(SUFFIXES)}).")
    folder, *archive = address.split("::")  # zip://folder::s3://bucket/a.zip
    return ["::".join([f"{folder.rstrip('/')}/{one.removeprefix(path).lstrip('/')}", *archive]) for one in below]


def read_recordings(items: Sequence[str]) -> Iterator[Source]:
    """Yield what `Predictor` reads of each recording: a path, or the content of what an address names, with its name.

    Contents are fetched some recordings ahead. One that cannot be fetched raises its error when it is read.
    """
    pending: deque[Future[Source]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for item in items:
            if not is_address(item):
                yield from (one.result() for one in pending)
                pending.clear()
                yield Path(item)
                continue
            pending.append(pool.submit(_fetched, item))
            if len(pending) > _AT_ONCE:
                yield pending.popleft().result()
        yield from (one.result() for one in pending)


class _Content(io.BytesIO):
    """The content of a recording."""

    name: str


@dataclass(frozen=True)
class _Unfetched:
    """A recording that could not be fetched."""

    name: str
    reason: str

    def read(self, size: int, /) -> bytes:
        raise AudioError(f"{printable(self.name)} cannot be fetched ({self.reason}).")


def _fetched(address: str) -> Source:
    try:
        filesystem, path = open_filesystem(address)
        content = _Content(filesystem.cat_file(path, end=MAX_STREAM_BYTES + 1))  # longer ones are refused
    except Exception as error:  # of any package for any cloud: one recording less, and the others go on
        return _Unfetched(address, _in_one_line(error))
    content.name = address
    return content


def _in_one_line(error: Exception) -> str:
    return printable(" ".join(str(error).split())[:200].rstrip(". ")) or type(error).__name__
