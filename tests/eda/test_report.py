"""The report: one file, nothing from outside, no markup from file names."""

import base64
import re

import pandas as pd
import pytest

from ser.eda.report import Picture, Section, Table, format_report


@pytest.fixture
def report(tmp_path):
    picture = tmp_path / "plot.png"
    picture.write_bytes(b"\x89PNG picture")
    table = pd.DataFrame({"file": ["<b>.wav", "b"], "fraction": [0.25, float("nan")], "seconds_mean": [1.5, 2000.0]})
    sections = [
        Section(
            title="One",
            findings=["3 < 4 & more"],
            parts=[
                Picture(path=picture, caption="A plot."),
                Table(content=table, caption="It.", percent=("fraction",)),
            ],
        )
    ]
    return format_report(sections, title="Title", made_from="Made by hand.")


def test_pictures_are_inside(report):
    (encoded,) = re.findall(r'src="data:image/png;base64,([^"]+)"', report)
    assert base64.b64decode(encoded) == b"\x89PNG picture"


def test_nothing_is_loaded_and_nothing_runs(report):
    assert not re.search(r"<script|<link|@import|https?:", report)


def test_text_is_text(report):
    assert "3 &lt; 4 &amp; more" in report
    assert "&lt;b&gt;.wav" in report


def test_numbers_are_for_people(report):
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", report)
    assert cells == ["&lt;b&gt;.wav", "25.0%", "1.50", "b", "-", "2,000"]
    assert re.findall(r"<th[^>]*>([^<]*)</th>", report) == ["file", "fraction", "seconds mean"]
