"""Figures inside a page: text is text, colours follow the theme, and marks tell their values."""

import base64
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from ser.evaluation.svg import TILE, inline_svg, tell, tell_cells, tell_values

HOSTILE = "<script>alert('1')</script>\"&amp;\n]"


def drawn(figure, name="one", label="A figure."):
    text = inline_svg(figure, name=name, label=label)
    return text, ElementTree.fromstring(text)  # noqa: S314 - our own


def titles(root):
    return [title.text for title in root.iter("title")]


def test_bars_and_points_tell_their_texts_in_their_order():
    figure = Figure(figsize=(TILE, 3))
    axes = figure.subplots()
    for bar, text in zip(axes.barh([0, 1], [3, 4]), ("first", HOSTILE), strict=True):
        tell(bar, [text])
    (line,) = axes.plot([1, 2, 3], [0, 1, 0], marker="o")
    tell(line, ["a", "b", "c"])
    (alone,) = axes.plot([1], [1], "s")
    tell(alone, ["one point"])
    _, root = drawn(figure)
    assert titles(root) == ["first", HOSTILE, "a", "b", "c", "one point"]
    places = [float(mark.get("x")) for mark in root.iter("use") if mark.find("title") is not None]
    assert places[:3] == sorted(places[:3])


def test_texts_that_are_not_one_a_mark_are_a_mistake():
    figure = Figure()
    (line,) = figure.subplots().plot([1, 2, 3], marker="o")
    tell(line, ["a", "b"])
    with pytest.raises(ValueError, match="zip"):
        inline_svg(figure, name="one", label="")


def cells_of(root):
    (cells,) = (json.loads(image.get("data-cells")) for image in root.iter("image") if image.get("data-cells"))
    return cells


@pytest.mark.parametrize("origin", ["upper", "lower"])
def test_an_image_tells_its_values_from_the_top(origin):
    values = np.array([[-80.0, -40.0, 0.0], [np.nan, -20.0, -10.0]])
    figure = Figure()
    image = figure.subplots().imshow(np.ma.masked_invalid(values), origin=origin, interpolation="none")
    tell_values(image, ["r0", "r1"], ["a", "b", HOSTILE], text="{row}, {column}: {value} dB", digits=1)
    cells = cells_of(drawn(figure)[1])
    levels = np.frombuffer(base64.b64decode(cells["values"]), np.uint8).reshape(2, 3).astype(float)
    levels[levels == 255] = np.nan
    found = cells["low"] + levels / 254 * (cells["high"] - cells["low"])
    order = slice(None) if origin == "upper" else slice(None, None, -1)
    np.testing.assert_allclose(found, values[order], atol=80 / 254 / 2)
    assert cells["rows"] == ["r0", "r1"][order]
    assert cells["columns"][2] == HOSTILE


def test_equal_values_have_no_range_and_are_told_nevertheless():
    figure = Figure()
    image = figure.subplots().imshow(np.full((2, 2), 3.0))
    tell_values(image, ["r", "s"], ["a", "b"], text="{value}", digits=1)
    cells = cells_of(drawn(figure)[1])
    assert (cells["low"], set(base64.b64decode(cells["values"]))) == (3.0, {0})


def test_cells_tell_texts_of_their_own():
    figure = Figure()
    tell_cells(figure.subplots().imshow([[1, 2]]), [["left", HOSTILE]])
    assert cells_of(drawn(figure)[1])["texts"] == ["left", HOSTILE]


def test_black_and_white_are_those_of_the_theme_but_text_on_colour_stays_white():
    figure = Figure()
    axes = figure.subplots()
    axes.axhline(0.5, color="black")
    axes.axhline(0.7, color="white")
    axes.axhline(0.9, color="#0072b2")
    axes.text(0.5, 0.5, "on a bar", color="white")
    text, root = drawn(figure)
    assert "#000000" not in text
    assert {"stroke: currentColor", "stroke: var(--paper)", "stroke: #0072b2"} <= set(
        re.findall(r"stroke: [^;\"]+", text)
    )
    (label,) = (one for one in root.iter("text") if one.text == "on a bar")
    assert "fill: #ffffff" in label.get("style")
    assert "font-family" not in text


def test_nothing_is_loaded_and_two_figures_share_no_id():
    figures = [Figure(), Figure()]
    for figure in figures:
        axes = figure.subplots()
        axes.plot([1, 2], marker="o")
        axes.imshow([[1]])
    texts, ids = [], []
    for name, figure in zip(("one", "two"), figures, strict=True):
        text, root = drawn(figure, name=name)
        texts.append(text)
        ids += [element.get("id") for element in root.iter() if element.get("id")]
        assert root.attrib["aria-label"] == "A figure."
        assert root.find(".//style") is None
    assert len(ids) == len(set(ids)) > 0
    assert not re.search(r"https?:", "".join(texts))
    again, _ = drawn(figures[0], name="one")
    assert again == texts[0]


def test_the_shared_style_of_points_keeps_them_pale_one_by_one():
    figure = Figure()
    figure.subplots().plot([1, 2, 3], [1, 1, 1], "o", alpha=0.5, markeredgewidth=0)
    _, root = drawn(figure)
    (group,) = (one for one in root.iter("g") if len(one.findall("use")) == 3)
    assert "fill-opacity: 0.5" in group.get("style")
    assert not [use for use in group if use.get("style")]
