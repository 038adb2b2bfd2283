"""The shell of the pages that people are shown: one file that needs nothing beside it and no network.

A page has a contents list, follows the system's light or dark theme, and its charts tell their values under the
pointer. Its policy lets no script run but the one of the shell, whatever names of files and settings hold.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from ser.errors import AudioError
from ser.evaluation.clips import encode_clip, read_clip
from ser.evaluation.svg import TILE, inline_svg

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """An entry of the contents list: the id of a heading, its text, and the entries below it."""

    id: str
    title: str
    parts: Sequence["Entry"] = ()


@dataclass(frozen=True)
class Chart:
    """A figure of a page: its SVG, what it shows, whether it takes a line of its own, and a sound to play with it."""

    svg: Markup
    caption: str
    wide: bool
    sound: str | None = None


def chart(figure: Figure, *, name: str, caption: str, sound: str | None = None) -> Chart:
    """Return a figure for a page; `name` is unlike any other's, `sound` is a `sound_uri`."""
    # The SVG is the work of matplotlib and of `inline_svg`, which write what names hold as text.
    svg = Markup(inline_svg(figure, name=name, label=caption))  # noqa: S704
    return Chart(svg=svg, caption=caption, wide=figure.get_figwidth() > 1.5 * TILE, sound=sound)


def render(template: Path, *, title: str, lead: str, contents: Sequence[Entry], values: Mapping[str, Any]) -> str:
    """Return the page of a Jinja template, which extends "page.html".

    Parameters
    ----------
    lead : the sentence on top, without which no number of the page means anything.
    values : what the template's own block shows; text in them never becomes markup.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((_FOLDER / f"page.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template.name).render(
        title=title,
        lead=lead,
        contents=contents,
        style=Markup(style),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        policy=policy,
        **values,
    )


def sound_uri(path: Path | None) -> str | None:
    """Return the first ten seconds of a recording for a player (`ser.evaluation.clips`), about 5 kB a second.

    None without a path, and where the recording cannot be read.
    """
    if path is None:
        return None
    try:
        kind, content = encode_clip(read_clip(path))
    except AudioError:
        return None
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
