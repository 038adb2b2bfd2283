"""The analysis as one page that needs nothing beside it: findings, charts, tables, recordings to listen to."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ser.data.files import write_text_atomically
from ser.evaluation.figures import save_figure
from ser.evaluation.page import Entry, chart, render

FIGURES = "figures"
"""The folder of the figures as PNG, beside the report."""
_TEMPLATE = Path(__file__).with_suffix(".html")
_LISTED = 100
"""Rows of a table on the page; its file has all."""


@dataclass(frozen=True)
class Picture:
    """A figure, written as `<name>.png` too, its caption, and a sound to play (`ser.evaluation.page.sound_uri`).

    What a file's name may not hold becomes "_" in it.
    """

    name: str
    figure: Figure
    caption: str
    sound: str | None = None


@dataclass(frozen=True)
class Table:
    """A table, written as a CSV file of that name too, whose columns `percent` hold fractions in [0, 1].

    The page shows the first `shown` rows and leaves the columns `hidden` out; the file has all.
    """

    file: str
    content: pd.DataFrame
    caption: str
    percent: Sequence[str] = ()
    hidden: Sequence[str] = ()
    shown: int = _LISTED


@dataclass(frozen=True)
class Part:
    """A heading of the third level, a note, and what stands below it.

    A card is a mapping of "title", "lines" (texts) and "sound": a data URI, None where the recording cannot be read, or
    an empty text for none.
    """

    title: str
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    cards: Sequence[Mapping[str, Any]] = ()
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A heading of the second level, findings in sentences, and the parts below them."""

    title: str
    findings: Sequence[str]
    parts: Sequence[Part]


def write_table(path: Path, content: pd.DataFrame) -> None:
    """Write a table as CSV, numbers with six digits; raises OSError where it cannot be written."""
    write_text_atomically(path, content.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def write_report(path: Path, sections: Sequence[Section], *, title: str, made_from: str) -> None:
    """Write the tables of `sections` beside `path`, their figures into a folder there, then the page to `path`.

    `made_from` says what corpus, settings and versions it is of.

    Raises
    ------
    OSError : a file cannot be written; it names it.
    """
    shown = [_section(section, number, path.parent) for number, section in enumerate(sections, 1)]
    contents = [
        Entry(one["id"], one["title"], [Entry(part["id"], part["title"]) for part in one["parts"]]) for one in shown
    ]
    values = {"sections": shown}
    write_text_atomically(path, render(_TEMPLATE, title=title, lead=made_from, contents=contents, values=values))


def _section(section: Section, number: int, folder: Path) -> dict[str, Any]:
    parts = [_part(part, f"s{number}-{place}", folder) for place, part in enumerate(section.parts, 1)]
    return {"id": f"s{number}", "title": section.title, "findings": section.findings, "parts": parts}


def _part(part: Part, anchor: str, folder: Path) -> dict[str, Any]:
    """Write the figures and tables of a part, and return what the template shows of them."""
    charts = []
    for one in part.pictures:
        name = re.sub(r"[^\w-]", "_", one.name)
        save_figure(one.figure, folder / FIGURES / f"{name}.png")
        charts.append(chart(one.figure, name=name, caption=one.caption, sound=one.sound))
    tables = [_table(one, folder) for one in part.tables]
    return {
        "id": anchor,
        "title": part.title,
        "note": part.note,
        "charts": charts,
        "tables": tables,
        "cards": part.cards,
    }


def _table(table: Table, folder: Path) -> dict[str, Any]:
    write_table(folder / table.file, table.content)
    shown = table.content[: table.shown].drop(columns=list(table.hidden))
    columns = [[_text(value, name in table.percent) for value in shown[name]] for name in shown]
    if columns and shown.columns[0] == "statistic":  # names of rows, as "seconds_mean"
        columns[0] = [name.replace("_", " ").replace(" hz", " in Hz") for name in columns[0]]
    return {
        "head": [str(name).replace("_", " ") for name in shown],
        "rows": list(zip(*columns, strict=True)),
        "words": [place for place, kind in enumerate(shown.dtypes) if not pd.api.types.is_numeric_dtype(kind)],
        "caption": f"{table.caption} ({table.file})",
    }


def _text(value: str | float, percent: bool) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "-"
    return f"{value:.1%}" if percent else f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
