"""The lines of a results file: a row each, so that what a kill or a power cut has damaged ends with its line.

A row is what `Prediction.to_dict` or `Failure.to_dict` returns, the recording's key as `path`, and the model's
fingerprint as `model`.
"""

import codecs
import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ser.data.places import is_address
from ser.errors import printable
from ser.inference.formats import csv_cells, csv_header, csv_line
from ser.inference.results import Failure, Prediction

_FINGERPRINT = re.compile("sha256:[0-9a-f]{16}")


class Row(NamedTuple):
    """What a line that is whole says of itself."""

    path: str
    model: str
    is_failure: bool


class ForeignLineError(Exception):
    """A line that is whole, and no row."""


class Lines(Protocol):
    """How a format writes rows as lines."""

    @property
    def header(self) -> bytes:
        """The first line, with its end; empty where there is none."""

    @property
    def beginning(self) -> bytes:
        """How every file of the format begins."""

    def format(self, result: Prediction | Failure, *, model: str) -> bytes:
        """Return the line of a result."""

    def read(self, line: bytes) -> Row | None:
        """Return what a line is, None for a damaged one; raises ForeignLineError for what is no row."""

    def read_header(self, line: bytes) -> str | None:
        """Return what the header `line` names, in words; None where it is no header."""


def key_of(path: str | Path) -> str:
    r"""Return what a recording is known by in a results file: its address, or absolute path without links to folders.

    A link to a file is a recording of its own. Two paths never have one key: where a path holds what looks like an
    escape of `printable`, or something to escape, its backslashes are doubled.
    """
    if is_address(str(path)):
        return printable(str(path))
    path = Path(path)
    try:
        whole = str(path.parent.resolve() / path.name)
    except (OSError, RuntimeError, ValueError):  # a circle of links; a NUL
        whole = str(path.absolute())
    ambiguous = printable(whole) != whole or any(escape in whole for escape in (r"\x", r"\u", r"\U"))
    return printable(whole.replace("\\", "\\\\")) if ambiguous else whole


def row_of(result: Prediction | Failure, *, model: str) -> dict[str, Any]:
    """Return the row of a result as plain values."""
    return result.to_dict() | {"file": printable(result.source), "path": key_of(result.source), "model": model}


class JsonLines:
    """One JSON object a line, in ASCII."""

    header = b""
    beginning = b'{"file": '

    def format(self, result: Prediction | Failure, *, model: str) -> bytes:
        """Return the line of a result."""
        return f"{json.dumps(row_of(result, model=model))}\n".encode()

    def read(self, line: bytes) -> Row | None:
        """Return what a line is, None for a damaged one; raises ForeignLineError for what is no row."""
        try:
            row = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            return None
        if not isinstance(row, dict) or not {"file", "path", "model"} <= set(row):
            raise ForeignLineError
        return Row(path=str(row["path"]), model=str(row["model"]), is_failure="error" in row)

    def read_header(self, line: bytes) -> str | None:
        """Return None: there is no header."""
        return None


@dataclass(frozen=True)
class CsvLines:
    """CSV with a header, and a byte order mark, by which Excel knows UTF-8.

    Attributes
    ----------
    context : whether the model takes speaker context.
    """

    class_names: Sequence[str]
    context: bool = False

    _LAST = ("error", "path", "model")

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return [*csv_header(self.class_names, context=self.context), *self._LAST]

    @property
    def header(self) -> bytes:
        """The byte order mark and the names of the columns."""
        return codecs.BOM_UTF8 + csv_line(self.columns).encode()

    @property
    def beginning(self) -> bytes:
        """The header, of which a kill may have left a part."""
        return self.header

    def format(self, result: Prediction | Failure, *, model: str) -> bytes:
        """Return the line of a result."""
        if isinstance(result, Prediction):
            cells = [*csv_cells(result), ""]
        else:
            between = len(self.columns) - len(self._LAST) - 1
            cells = [result.source, *[""] * between, result.reason]
        return csv_line([*cells, key_of(result.source), model]).encode()

    def read(self, line: bytes) -> Row | None:
        """Return what a line is, None for a damaged one; a line of other cells than the header's is damaged too."""
        try:
            (cells,) = csv.reader([line.decode("utf-8")], strict=True)
        except (ValueError, csv.Error):  # ValueError: no UTF-8, and no line at all
            return None
        if b"\0" in line:  # which the reader takes
            return None
        *_, reason, path, model = cells if len(cells) > len(self._LAST) else ["", "", ""]
        if len(cells) != len(self.columns) or not _FINGERPRINT.fullmatch(model):
            return None
        return Row(path=path, model=model, is_failure=bool(reason))

    def read_header(self, line: bytes) -> str | None:
        """Return the classes that the header `line` names, and whether it has context; None where it is no header."""
        try:
            # Another program may have taken the mark away, or given another end to the line.
            (cells,) = csv.reader([line.removeprefix(codecs.BOM_UTF8).decode("utf-8")], strict=True)
        except (ValueError, csv.Error):
            return None
        classes = [cell.removeprefix("p_") for cell in cells if cell.startswith("p_")]
        for context in (False, True) if classes else ():
            if cells == CsvLines(classes, context).columns:
                return ", ".join(classes) + (", with speaker context" if context else "")
        return None
