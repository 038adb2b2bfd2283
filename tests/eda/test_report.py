"""The report: one file, nothing from outside, no markup from file names."""

import base64
import re

import pandas as pd
import pytest
from matplotlib.figure import Figure

from ser.eda.report import Table, write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    rows = [("<b>.wav", 0.25, 1.5), ("b", float("nan"), 2000.0), ("c", 0, 0)]
    table = pd.DataFrame(rows, columns=["file", "fraction", "seconds_mean"])
    parts = {"examples.png": Figure(), "effect_sizes.csv": Table(table, percent=["fraction"], shown=2)}
    sections = [("One", ["3 < 4 & more"], parts)]
    write_report(folder / "report.html", sections, title="Title", made_from="Made by hand.")
    return folder


@pytest.fixture
def report(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_figures_are_inside_and_beside_it(report, folder):
    (encoded,) = re.findall(r'src="data:image/png;base64,([^"]+)"', report)
    assert base64.b64decode(encoded) == (folder / "examples.png").read_bytes()
    assert base64.b64decode(encoded).startswith(b"\x89PNG")


def test_tables_are_beside_it_with_every_row(report, folder):
    assert (folder / "effect_sizes.csv").read_text().splitlines()[1:] == ["<b>.wav,0.25,1.5", "b,,2000", "c,0,0"]
    assert "The first of 3 means and deviations" in report


def test_nothing_is_loaded_and_text_is_text(report):
    assert not re.search(r"<script|<link|@import|https?:", report)
    assert "3 &lt; 4 &amp; more" in report
    assert "&lt;b&gt;.wav" in report


def test_numbers_are_for_people(report):
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", report)
    assert cells == ["&lt;b&gt;.wav", "25.0%", "1.50", "b", "-", "2,000"]
    assert re.findall(r"<th[^>]*>([^<]*)</th>", report) == ["file", "fraction", "seconds mean"]
