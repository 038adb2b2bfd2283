"""The manifest: a table of recordings of one's own, read and checked row by row."""

import hashlib
import math
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING

from ser.audio.formats import SUFFIXES
from ser.corpora.manifest import CHANNELS, Recording
from ser.corpora.table import Cells, open_table
from ser.errors import CorpusError
from ser.features.validation import suggestion

if TYPE_CHECKING:
    import pandas as pd

LabelMap = Mapping[str, str | None]
"""Label of the table -> name of the class, or None, which leaves the recording out."""

Refuse = Callable[[str, str, str], None]
"""Notes what is wrong with a row: the column, its value, and the end of the sentence."""

_SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "development", "devel"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval"), "test"),
}
_GENDERS = {
    **dict.fromkeys(("female", "f", "w", "woman"), "female"),
    **dict.fromkeys(("male", "m", "man"), "male"),
    **dict.fromkeys(("other", "o", "x", "d"), "other"),
}
_MAX_LABEL = 100
_MAX_PROBLEMS = 20


@dataclass(kw_only=True)
class ManifestContent:
    """What a manifest holds.

    Attributes
    ----------
    recordings : of the rows in which nothing is wrong, in their order.
    problems : a sentence for each thing that is wrong, the first twenty; n_problems : how many there are.
    outside : how many files lie outside the folder of the manifest, which does not move with them.
    left_out : how many rows `label_map` leaves out.
    columns, other : as in `ser.corpora.table.Table`.
    """

    name: str
    columns: tuple[str, ...]
    other: tuple[str, ...]
    recordings: list[Recording] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    n_problems: int = 0
    outside: int = 0
    left_out: int = 0

    def refuse(self, sentence: str) -> None:
        """Note that something is wrong."""
        self.n_problems += 1
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(sentence)


def read_manifest(
    source: "Path | pd.DataFrame", *, folder: Path | None = None, label_map: LabelMap | None = None
) -> list[Recording]:
    """Return the recordings of a manifest, in the order of its rows.

    Parameters
    ----------
    source : a CSV or Parquet file, or a pandas frame, with the columns file and emotion and, where they are known, the
        others of `ser.corpora.table.COLUMNS`.
    folder : paths in the column file are relative to it; the folder of the manifest by default, of a frame the
        current one.

    Raises
    ------
    CorpusError : something is wrong with the table or a row; it names the row, the column, the value and what to do.
    """
    content = scan_manifest(source, folder=folder, label_map=label_map)
    if content.problems:
        others = content.n_problems - 1
        more = f" {others} more rows are wrong; `ser corpus check {content.name}` lists them." if others else ""
        raise CorpusError(f"{content.problems[0]}{more}")
    return content.recordings


def scan_manifest(
    source: "Path | pd.DataFrame", *, folder: Path | None = None, label_map: LabelMap | None = None
) -> ManifestContent:
    """Return all that a manifest holds, with what is wrong in it; parameters as of `read_manifest`.

    Raises
    ------
    CorpusError : the table as a whole cannot be read, or holds no recording.
    """
    table = open_table(source)
    base = folder or (source.parent if isinstance(source, Path) else Path())
    content = ManifestContent(name=table.name, columns=table.columns, other=table.other)
    rows = _Rows(content, base, label_map or {})
    n_rows = 0
    for row, cells in table.rows:
        n_rows += 1
        if isinstance(cells, str):
            content.refuse(cells)
        else:
            rows.add(row, cells)
    if not n_rows:
        raise CorpusError(f"{table.name} names columns but has no rows; add a row for each recording.")
    rows.check_label_map()
    if not content.recordings and not content.problems:
        raise CorpusError(f"{table.name} has no row that data.label_map keeps; map a label to a class.")
    return content


class _Rows:
    """The rows so far, against which the next one is checked."""

    def __init__(self, content: ManifestContent, folder: Path, label_map: LabelMap) -> None:
        self.content, self.folder, self.label_map = content, folder, label_map
        self.cwd = os.getcwd()  # noqa: PTH109 - paths are text here: a million of them are looked at
        inside = (self._absolute(os.fspath(folder)), os.path.realpath(folder))
        self.inside = tuple(one.rstrip(os.sep) + os.sep for one in inside)
        self.files: dict[str, tuple[Path, str] | str] = {}  # a file's path and id, or what is wrong with it
        self.rows: dict[str, tuple[int, str]] = {}  # id -> its row and label
        self.spellings: dict[str, tuple[str, int]] = {}  # label in small letters -> as first written, and its row
        self.labels: set[str] = set()

    def add(self, row: int, cells: Cells) -> None:
        file, emotion, speaker, gender, language, text, channel, corpus, split, start, end = cells

        def refuse(column: str, value: str, remedy: str) -> None:
            self.content.refuse(f"{self.content.name}, row {row}, column {column}: {_shown(value)} {remedy}.")

        found = self.files.get(file)
        if found is None:
            found = self.files[file] = self._find(file)
        if isinstance(found, str):
            return refuse("file", file, found)
        path, name = found
        label = self._label(emotion, row, refuse)
        if label is None:
            return None
        if gender and gender.lower() not in _GENDERS:
            return refuse("gender", gender, "is none of female, male and other; write one of these, or leave it empty")
        if channel and channel.lower() not in CHANNELS:
            return refuse("channel", channel, f"is no vocal channel; {suggestion(channel, CHANNELS)}")
        if split and split.lower() not in _SPLITS:
            return refuse("split", split, "is no part; write train, validation or test, or leave it empty")
        span = _span(start, end)
        if isinstance(span, str):
            return refuse("start" if start else "end", f"{start} to {end}", span)
        if span != (None, None):
            name = f"{name}[{'' if span[0] is None else f'{span[0]:g}'}-{'' if span[1] is None else f'{span[1]:g}'}]"
        if name in self.rows:
            first, before = self.rows[name]
            if before != label:
                return refuse("emotion", emotion, f"is the second label of {file}, which row {first} calls {before!r}")
            return refuse("file", file, f"is in row {first} already; remove one of the two rows")
        self.rows[name] = (row, label)
        self.content.recordings.append(
            Recording(
                path=path,
                id=name,
                emotion=label,
                speaker=intern(speaker) if speaker else None,
                gender=_GENDERS[gender.lower()] if gender else None,
                language=intern(language) if language else None,
                text=text or None,
                channel=channel.lower() or "speech",
                corpus=intern(corpus),
                split=_SPLITS[split.lower()] if split else None,
                start=span[0],
                end=span[1],
            )
        )
        return None

    def _find(self, file: str) -> tuple[Path, str] | str:
        """Return a file's path and id, or the end of a sentence on what is wrong with it."""
        if not file:
            return "is empty; write the path of the recording"
        if "://" in file:
            return "is an address; download the recording and give its path"
        if "\\" in file and not (self.folder / file).exists():
            file = file.replace("\\", "/")
        place = os.path.join(self.folder, file)  # noqa: PTH118
        try:
            found = os.stat(place)  # noqa: PTH116
            if not stat.S_ISREG(found.st_mode):
                if stat.S_ISDIR(found.st_mode):
                    return "is a folder; write a row for each recording in it"
                return "is no ordinary file; give the path of a sound file"
        except (OSError, ValueError) as error:
            if os.path.islink(place):  # noqa: PTH114
                return "is a link to a file that is not there; restore the file or remove the row"
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                return f"is not there; paths are relative to {self.folder.resolve()}"
            return f"cannot be looked at ({getattr(error, 'strerror', None) or error}); correct the path"
        if not found.st_size:
            return "is an empty file; copy it again or remove the row"
        if os.path.splitext(place)[1].lower() not in SUFFIXES:  # noqa: PTH122
            return f"is none of {', '.join(SUFFIXES)}; convert the recording"
        path, absolute = Path(place), self._absolute(place)
        root = next((one for one in self.inside if absolute.startswith(one)), None)
        if root is None:
            self.content.outside += 1
            # The id goes into published models, which should not tell how this machine's folders are called.
            folder = hashlib.sha256(str(Path(absolute).parent).encode()).hexdigest()[:8]
            return path, f"{folder}/{path.name}"
        return path, absolute.removeprefix(root).replace(os.sep, "/")

    def _absolute(self, path: str) -> str:
        """Return the path from the root on, with the links that it has."""
        return os.path.normpath(os.path.join(self.cwd, path))  # noqa: PTH118

    def _label(self, emotion: str, row: int, refuse: Refuse) -> str | None:
        """Return the class of a label; None where the row is refused or left out."""
        if not emotion:
            refuse("emotion", emotion, "is empty; write the label, or remove the row")
            return None
        if len(emotion) > _MAX_LABEL or not emotion.isprintable():
            refuse("emotion", emotion, f"is no word; write a label of at most {_MAX_LABEL} letters on one line")
            return None
        if emotion in self.label_map:
            self.labels.add(emotion)
            mapped = self.label_map[emotion]
            if mapped is None:
                self.content.left_out += 1
                return None
            return intern(mapped)
        label, first = self.spellings.setdefault(emotion.casefold(), (emotion, row))
        self.labels.add(emotion)
        if label != emotion:
            refuse("emotion", emotion, f"is {label!r} in row {first}; write them alike, or join them by data.label_map")
            return None
        return label

    def check_label_map(self) -> None:
        """Refuse a label in the map that no row has."""
        for label in self.label_map:
            if label not in self.labels:
                known = suggestion(label, sorted(self.labels)[:30])
                self.content.refuse(f"data.label_map has {label!r}, which {self.content.name} has not; {known}.")


def _span(start: str, end: str) -> tuple[float | None, float | None] | str:
    """Return start and end in seconds, or the end of a sentence on what is wrong with them."""
    numbers = list[float | None]()
    for text in (start, end):
        try:
            number = float(text) if text else None
        except ValueError:
            return "are no numbers; write seconds, such as 12.5"
        if number is not None and not (math.isfinite(number) and number >= 0):
            return "are no times in the recording; write seconds from 0 on"
        numbers.append(number)
    first, last = numbers
    if last is not None and last <= (first or 0):
        return "end before they begin; write the later time in the column end"
    return (None if first == 0 and last is None else first), last


def _shown(value: str) -> str:
    return repr(value if len(value) <= 80 else f"{value[:77]}...")
