"""The report: one page, nothing from outside, no markup from file names."""

import re

import pandas as pd
import pytest
from matplotlib.figure import Figure

from ser.eda.report import Part, Picture, Section, Table, write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    rows = [("<b>.wav", 0.25, 1.5, "x"), ("b", float("nan"), 2000.0, "y"), ("c", 0, 0, "z")]
    table = pd.DataFrame(rows, columns=["file", "fraction", "seconds_mean", "inner"])
    card = {"title": "<i>", "lines": ["a line"], "sound": "data:audio/mpeg;base64,AAAA"}
    part = Part(
        "Part one",
        [Picture("of/<b>", Figure(), "A <caption>.", sound="data:audio/mpeg;base64,BBBB")],
        [Table("effect_sizes.csv", table, "Of 3.", percent=["fraction"], hidden=["inner"], shown=2)],
        [card, card | {"sound": None}, card | {"sound": ""}],
        note="A note.",
    )
    sections = [Section("One", ["3 < 4 & more"], [part]), Section("Two", [], [])]
    write_report(folder / "report.html", sections, title="Title", made_from="Made by hand.")
    return folder


@pytest.fixture
def report(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_figures_are_inside_and_beside_it(report, folder):
    assert [path.name for path in (folder / "figures").iterdir()] == ["of__b_.png"]
    assert (folder / "figures" / "of__b_.png").read_bytes().startswith(b"\x89PNG")
    assert report.count('<svg class="chart"') == 1
    assert "A &lt;caption&gt;." in report


def test_tables_are_beside_it_with_every_row(report, folder):
    written = (folder / "effect_sizes.csv").read_text().splitlines()
    assert written == ["file,fraction,seconds_mean,inner", "<b>.wav,0.25,1.5,x", "b,,2000,y", "c,0,0,z"]
    assert "Of 3. (effect_sizes.csv)" in report


def test_nothing_is_loaded_and_text_is_text(report):
    assert report.count("<script") == 1
    assert not re.search(r"<link|@import|https?:|<[ib]>", report)
    assert "3 &lt; 4 &amp; more" in report
    assert "&lt;b&gt;.wav" in report


def test_sounds_have_players_and_what_has_none_says_why(report):
    assert report.count("<audio") == 2
    assert report.count("The recording could not be read.") == 1


def test_numbers_are_for_people(report):
    rows = re.findall(r"<tr>(.*?)</tr>", report)
    assert [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in rows] == [
        ["file", "fraction", "seconds mean"],
        ["&lt;b&gt;.wav", "25.0%", "1.50"],
        ["b", "-", "2,000"],
    ]


def test_the_contents_list_leads_to_every_heading(report):
    links = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', report)
    headings = re.findall(r'<h[23] id="([^"]+)">([^<]+)</h', report)
    assert links == headings == [("s1", "One"), ("s1-1", "Part one"), ("s2", "Two")]
