"""The cells of a manifest, row by row: CSV, Parquet or a pandas frame, in bounded memory.

A row's number is the one that a spreadsheet shows: the first row under the names of the columns is row 2.
"""

import codecs
import csv
import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ser.errors import CorpusError, SettingsError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("file", "emotion", "speaker", "gender", "language", "text", "channel", "corpus", "split", "start", "end")
REQUIRED = ("file", "emotion")
Cells = tuple[str, ...]
"""The text of a row in the order of the columns that are asked for; empty where there is none."""

_SEPARATORS = (",", ";", "\t")
_MISSING = ("nan", "null", "none", "<na>")
_CHUNK = 1 << 20
_BATCH_ROWS = 50_000
_LONGEST_CELL = 10_000
_ZIP, _PARQUET = b"PK\x03\x04", b"PAR1"


class _Asked(NamedTuple):
    """What is read of a table, and those columns among it that the table must have."""

    columns: Sequence[str]
    required: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table whose rows can be read once, in order.

    Attributes
    ----------
    name : what to call it in messages.
    columns : those that are asked for and that it has; other : further ones, which are ignored.
    rows : row number and cells; a sentence in place of the cells where the row has too many or too few.
    """

    name: str
    columns: tuple[str, ...]
    other: tuple[str, ...]
    rows: Iterator[tuple[int, Cells | str]]


def open_table(
    source: "Path | pd.DataFrame", *, columns: Sequence[str] = COLUMNS, required: Sequence[str] = REQUIRED
) -> Table:
    """Open a manifest: a CSV file (comma, semicolon or tab; UTF-8 or, with its mark, UTF-16), Parquet, or a frame.

    Parameters
    ----------
    columns : what is read, in small letters; required : those of them that it must have.

    Raises
    ------
    CorpusError : it is not there, is no such table, or lacks a column; it names the file, and what to do.
    """
    asked = _Asked(columns, required)
    if not isinstance(source, Path):
        return _frame_table(source, "the frame", asked)
    if source.is_dir():
        raise CorpusError(f"{source} is a folder, but should be a table of recordings (CSV or Parquet).")
    try:
        with source.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise CorpusError(f"{source} cannot be read ({error.strerror}); give the path of the manifest.") from error
    if not start:
        raise CorpusError(f"{source} is empty; its first row should name the columns: file,emotion,speaker.")
    if start == _PARQUET:
        return _parquet_table(source, asked)
    if start == _ZIP or source.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise CorpusError(f"{source} is a spreadsheet; save it as CSV (UTF-8).")
    return _csv_table(source, _encoding(source, start), asked)


def _encoding(path: Path, start: bytes) -> str:
    """Return the encoding; raises CorpusError where it is not certain, and names the row."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    decoder, row = codecs.getincrementaldecoder("utf-8")(), 1
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if b"\0" in chunk:
                raise CorpusError(f"{path} holds bytes of zero, so it is no text in UTF-8; save it as CSV (UTF-8).")
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                # The offset is into what was left of the last chunk and this one.
                row += error.object[: error.start].count(b"\n")
                byte = error.object[error.start]
                raise CorpusError(
                    f"{path}, row {row}: the byte 0x{byte:02x} is not UTF-8 (an umlaut or accent in Latin-1 or "
                    "Windows-1252, most likely); save the table as CSV UTF-8."
                ) from error
            row += chunk.count(b"\n")
    return "utf-8-sig"


def _csv_table(path: Path, encoding: str, asked: _Asked) -> Table:
    try:
        with path.open(encoding=encoding, newline="") as file:
            first = file.readline()
    except UnicodeError as error:
        raise CorpusError(f"{path} is not the text that its first bytes promise; save it as CSV (UTF-8).") from error
    named = {mark: next(csv.reader([first], delimiter=mark), []) for mark in _SEPARATORS}
    mark = max(
        _SEPARATORS, key=lambda one: (sum(_plain(name) in asked.columns for name in named[one]), len(named[one]))
    )
    columns = _checked_columns(named[mark], str(path), asked)

    def rows() -> Iterator[tuple[int, Cells | str]]:
        places, n_columns, row = _places(columns, asked), len(columns), 1
        try:
            with path.open(encoding=encoding, newline="") as file:
                reader = csv.reader(file, delimiter=mark, strict=True)
                next(reader)
                for row, cells in enumerate(reader, start=2):
                    if not cells or not any(cells):
                        continue  # an empty line
                    if len(cells) != n_columns:
                        yield row, _ragged(path, row, len(cells), n_columns, mark)
                        continue
                    yield row, tuple(_text(cells[place]) if place >= 0 else "" for place in places)
        except (csv.Error, UnicodeError) as error:
            raise CorpusError(
                f"{path}, row {row + 1}: the row cannot be read ({error}); close every quotation mark, and double "
                "those within a cell."
            ) from error

    return Table(name=str(path), columns=_known(columns, asked), other=_others(columns, asked), rows=rows())


def _ragged(path: Path, row: int, found: int, wanted: int, mark: str) -> str:
    separator = {",": "a comma", ";": "a semicolon", "\t": "a tab"}[mark]
    return (
        f"{path}, row {row}: it has {found} cells, but there are {wanted} columns; put a cell that holds {separator} "
        "in quotation marks."
    )


def _parquet_table(path: Path, asked: _Asked) -> Table:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise SettingsError(f"{path} is Parquet, which needs the extra train: pip install 'ser[train]'.") from error
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{path} is damaged, or no Parquet ({str(error).splitlines()[0]}); write it again."
        ) from error
    columns = _checked_columns(file.schema_arrow.names, str(path), asked)
    wanted = [name for name, plain in zip(file.schema_arrow.names, columns, strict=True) if plain in asked.columns]

    known = _known(columns, asked)

    def batches() -> Iterator[Sequence[Sequence[Any]]]:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            by_name = dict(zip(map(_plain, batch.schema.names), batch.columns, strict=True))
            yield [by_name[name].to_pylist() for name in known]

    rows = _rows_of(batches(), known, asked)
    return Table(name=str(path), columns=known, other=_others(columns, asked), rows=rows)


def _frame_table(frame: "pd.DataFrame", name: str, asked: _Asked) -> Table:
    columns = _checked_columns([str(column) for column in frame.columns], name, asked)
    known = _known(columns, asked)
    places = {plain: place for place, plain in enumerate(columns)}

    def batches() -> Iterator[Sequence[Sequence[Any]]]:
        for start in range(0, len(frame), _BATCH_ROWS):
            part = frame.iloc[start : start + _BATCH_ROWS]
            yield [part.iloc[:, places[column]].tolist() for column in known]

    return Table(name=name, columns=known, other=_others(columns, asked), rows=_rows_of(batches(), known, asked))


def _rows_of(
    batches: Iterable[Sequence[Sequence[Any]]], known: Sequence[str], asked: _Asked
) -> Iterator[tuple[int, Cells | str]]:
    places, row = _places(known, asked), 1
    for batch in batches:
        for cells in zip(*batch, strict=True):
            row += 1
            yield row, tuple(_text(cells[place]) if place >= 0 else "" for place in places)


def _text(value: Any) -> str:
    """Return a cell as text: numbers that are whole without a point, what stands for nothing as the empty text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.0f}" if value.is_integer() else repr(value)
    text = str(value).strip()
    return "" if text.lower() in _MISSING else text[:_LONGEST_CELL]


def _plain(name: str) -> str:
    return name.strip().lower()


def _known(columns: Sequence[str], asked: _Asked) -> tuple[str, ...]:
    return tuple(column for column in asked.columns if column in columns)


def _others(columns: Sequence[str], asked: _Asked) -> tuple[str, ...]:
    return tuple(column for column in columns if column not in asked.columns)


def _places(columns: Sequence[str], asked: _Asked) -> list[int]:
    return [columns.index(column) if column in columns else -1 for column in asked.columns]


def _checked_columns(names: Sequence[str], table: str, asked: _Asked) -> list[str]:
    columns = [_plain(name) for name in names]
    for column in asked.required:
        if column not in columns:
            near = difflib.get_close_matches(column, [one for one in columns if one not in asked.columns], n=1)
            remedy = f"rename {near[0]!r}" if near else f"name it in the first row, and separate by {_NAMED_SEPARATORS}"
            shown = ", ".join(column[:30] for column in columns[:12])
            raise CorpusError(f"{table} has no column {column!r}, but {shown!r}; {remedy}.")
    if twice := [column for column in asked.columns if columns.count(column) > 1]:
        raise CorpusError(f"{table} has the column {twice[0]!r} twice; remove one of them.")
    return columns


_NAMED_SEPARATORS = "comma, semicolon or tab"
