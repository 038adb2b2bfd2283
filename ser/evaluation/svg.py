"""Figures for a page: SVG whose text is text, whose colours follow the theme, and whose marks tell their values."""

import base64
import io
import json
import re
from collections.abc import Sequence
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

TILE = 3.7
"""Inches of a figure that fits the width of a phone at 96 pixels an inch; 9 points are 12 px there."""
_PX_A_POINT = 96 / 72
_TEXTS, _CELLS = "texts:", "cells:"  # what begins the id of an artist that tells something
_MISSING = 255
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_COLOURS = (("#000000", "currentColor"), ("#ffffff", "var(--paper)"))


def tell(artist: Artist, texts: Sequence[str]) -> None:
    """Have each mark of a bar or of a line's points tell its text where the pointer is on it; see `inline_svg`."""
    artist.set_gid(_TEXTS + json.dumps(list(texts)))


def tell_cells(image: AxesImage, texts: Sequence[Sequence[str]]) -> None:
    """Have each cell of an image tell its text; `texts` are rows from the top, columns from the left."""
    cells = {"rows": [""] * len(texts), "columns": [""] * len(texts[0]), "texts": [one for row in texts for one in row]}
    image.set_gid(_CELLS + json.dumps(cells))


def tell_values(image: AxesImage, rows: Sequence[str], columns: Sequence[str], *, text: str, digits: int) -> None:
    """Have each cell of an image tell its value, which is kept in 255 steps.

    Parameters
    ----------
    rows, columns : the names of the image's rows, in the order of its array, and of its columns.
    text : with "{row}", "{column}" and "{value}", such as "{row} at {column}: {value} dB".
    digits : of the value behind the point.
    """
    values: NDArray[np.float64] = np.ma.filled(np.ma.asarray(image.get_array()), np.nan).astype(np.float64)
    names = list(rows)
    if image.origin == "lower":
        values, names = values[::-1], names[::-1]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    steps = np.rint(254 * (values - low) / ((high - low) or 1))
    levels = np.where(np.isnan(values), _MISSING, np.nan_to_num(steps)).astype(np.uint8)
    cells = {"rows": names, "columns": list(columns), "text": text, "digits": digits, "low": low, "high": high}
    encoded = base64.b64encode(levels.tobytes()).decode("ascii")
    image.set_gid(_CELLS + json.dumps(cells | {"values": encoded}))


def inline_svg(figure: Figure, *, name: str, label: str) -> str:
    """Return a figure as an element of HTML, which is never shown smaller than it was drawn (`page.css`).

    Black becomes the colour of the page's text and white that of its paper, but for text; the other colours stay. What
    `tell` gave is a `<title>` in the mark, what `tell_cells` and `tell_values` gave is read by `page.js`.

    Parameters
    ----------
    name : unlike that of any other figure of the page.
    label : what a screen reader says.
    """
    content = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(content, format="svg", transparent=True, dpi=192, metadata={"Date": None})
    root = ElementTree.fromstring(content.getvalue())  # noqa: S314 - written above
    _without_namespaces(root)
    for child in root.findall("metadata") + [one for one in root.findall("defs") if one.find("style") is not None]:
        root.remove(child)
    for element in root.iter():
        _tell(element)
        _shorten(element)
    for group in root.iter("g"):
        _share_style(group)
    width = _PX_A_POINT * 72 * figure.get_figwidth()
    root.attrib = {"class": "chart", "viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    root.attrib["style"] = f"--drawn: {width:.0f}px"
    return ElementTree.tostring(root, encoding="unicode")


def _without_namespaces(root: ElementTree.Element) -> None:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        element.text, element.tail = (part if part and part.strip() else None for part in (element.text, element.tail))


def _tell(element: ElementTree.Element) -> None:
    """Turn the id of an artist into what its marks tell, and drop the ids that nothing refers to."""
    kind = element.get("id", "")
    if kind.startswith(_TEXTS):
        marks = list(element.iter("use")) or list(element.iter("path"))
        for mark, text in zip(marks, json.loads(kind.removeprefix(_TEXTS)), strict=True):
            ElementTree.SubElement(mark, "title").text = text
    elif kind.startswith(_CELLS):
        element.set("data-cells", kind.removeprefix(_CELLS))
    if element.tag in ("g", "image"):
        element.attrib.pop("id", None)


def _shorten(element: ElementTree.Element) -> None:
    """Round the places to hundredths of a point, and leave fonts and the two colours of the theme to the page."""
    for key in {"d", "x", "y"} & set(element.attrib):
        element.set(key, _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}", element.attrib[key]))
    if style := element.get("style"):
        declarations = [one.strip() for one in style.split(";") if not one.strip().startswith("font-family")]
        style = "; ".join(filter(None, declarations))
        if element.tag != "text":
            for ours, themes in _COLOURS:
                style = style.replace(ours, themes)
        element.set("style", style)


def _share_style(group: ElementTree.Element) -> None:
    """Write the style of many points, which is one, once."""
    styles = {child.get("style") for child in group}
    if len(group) > 1 and len(styles) == 1 and {child.tag for child in group} == {"use"}:
        # Of a group, "opacity" would hold for all points together.
        group.set("style", (styles.pop() or "").replace("opacity", "fill-opacity").replace("fill-fill-", "fill-"))
        for child in group:
            del child.attrib["style"]
