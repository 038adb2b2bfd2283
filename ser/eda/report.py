"""The analysis as one HTML file that needs nothing beside it: findings, figures inside the file, tables."""

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; padding-bottom: .2rem; }
img { max-width: 100%; height: auto; } figure { margin: 1.5rem 0; } figcaption { color: #555; font-size: .9rem; }
.table { overflow-x: auto; margin: 1rem 0; } table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; color: #555; padding-bottom: .3rem; }
th, td { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums; }
.text { text-align: left; } thead th { border-bottom: 2px solid #888; }
"""
_TEXT = ' class="text"'


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG file of the report, and its caption of one sentence."""

    path: Path
    caption: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the report. The columns `percent`, fractions in [0, 1], are shown in percent."""

    content: pd.DataFrame
    caption: str
    percent: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report: findings in sentences, then figures and tables."""

    title: str
    findings: Sequence[str]
    parts: Sequence[Picture | Table]


def format_report(sections: Sequence[Section], *, title: str, made_from: str) -> str:
    """Return the report as HTML, without scripts and without anything from outside.

    Parameters
    ----------
    made_from : one sentence on the corpus, the settings and the versions.
    """
    body = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(made_from)}</p>"]
    for section in sections:
        body.append(f"<h2>{html.escape(section.title)}</h2>")
        items = "".join(f"<li>{html.escape(finding)}</li>\n" for finding in section.findings)
        body.append(f"<ul>\n{items}</ul>" if items else "")
        body += [_picture(part) if isinstance(part, Picture) else _table(part) for part in section.parts]
    content = "\n".join(filter(None, body))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{content}\n</body>\n</html>\n"
    )


def _picture(picture: Picture) -> str:
    encoded = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    caption = html.escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{caption} ({html.escape(picture.path.name)})</figcaption></figure>"
    )


def _table(table: Table) -> str:
    columns = {name: pd.api.types.is_numeric_dtype(column) for name, column in table.content.items()}
    head = "".join(
        f"<th{'' if numeric else _TEXT}>{html.escape(str(name).replace('_', ' '))}</th>"
        for name, numeric in columns.items()
    )
    rows = "\n".join(
        "<tr>" + "".join(_cell(value, percent=name in table.percent) for name, value in row.items()) + "</tr>"
        for row in table.content.to_dict(orient="records")
    )
    return (
        f'<div class="table"><table><caption>{html.escape(table.caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _cell(value: str | float, *, percent: bool) -> str:
    if isinstance(value, str):
        return f"<td{_TEXT}>{html.escape(value)}</td>"
    if math.isnan(value):
        return "<td>-</td>"
    if percent:
        return f"<td>{value:.1%}</td>"
    return f"<td>{value:,.2f}</td>" if not float(value).is_integer() else f"<td>{int(value):,}</td>"
