import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from app.answer_html import TOP, answer_html
from app.colours import COLOURS
from app.words import percent
from ser.corpora.ravdess import EMOTIONS
from tests.app.test_words import scores
from tests.predictions import prediction_of

NAMES = ("surprise", "calm", "angry", "sad", "<b>")


class Outline(HTMLParser):
    """The tags of a piece of HTML that are open where it ends, and the text of each kind of element."""

    def __init__(self, html):
        super().__init__()
        self.open, self.texts = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append(([tag for tag, _ in self.open], self.open[-1][1].get("class"), data))


@pytest.fixture
def html():
    prediction = prediction_of(np.array([0.2, 0.5, 0.25, 0.03, 0.02]), class_names=NAMES)
    return answer_html(prediction, [scores()], title="a<b>.wav", notes=["3.0 seconds & more."])


def rows(html):
    return re.findall(r'ser-name">([^<]*)</span>.*?width:([\d.]+)%;background:(#\w+).*?ser-percent">([^<]*)<', html)


def test_bars_are_the_classes_from_the_most_probable_and_all_but_three_are_folded(html):
    assert [name for name, *_ in rows(html)] == ["calm", "angry", "surprise", "sad", "&lt;b&gt;"]
    assert [(float(width), shown) for _, width, _, shown in rows(html)] == [
        (50, "50%"), (25, "25%"), (20, "20%"), (3, "3%"), (2, "2%"),
    ]  # fmt: skip
    assert rows(html)[0][2] == COLOURS["calm"]
    top, folded = html.split("<details>")
    assert len(rows(top)) == TOP
    assert folded.startswith("<summary>2 others: 5% in all</summary>")


def test_it_is_whole_html_in_which_names_are_no_tags(html):
    outline = Outline(html)
    assert outline.open == []
    said = {text: tags for tags, _, text in outline.texts}
    assert said["Sounds calm"][-1] == "h2"
    assert {"Fairly sure: 50%.", "In its test, this model was right in 67 of 100 recordings."} <= set(said)
    assert {"a<b>.wav", "<b>", "3.0 seconds & more."} <= set(said)
    assert {tag for tags, *_ in outline.texts for tag in tags} == {
        "section",
        "h2",
        "p",
        "ol",
        "li",
        "span",
        "details",
        "summary",
    }


def test_without_speech_there_are_no_bars_and_no_scores():
    html = answer_html(prediction_of(), [scores()])
    assert rows(html) == []
    assert "No speech found" in html
    assert "right in" not in html


def test_two_classes_have_nothing_to_fold():
    html = answer_html(prediction_of(np.array([0.3, 0.7]), class_names=("sad", "calm")), [])
    assert "details" not in html
    assert len(rows(html)) == 2


def test_all_percentages_of_a_page_are_written_alike():
    prediction = prediction_of(np.full(len(EMOTIONS), 1 / len(EMOTIONS)))
    html = answer_html(replace(prediction, rejection_threshold=0.36), [])
    assert {shown for *_, shown in rows(html)} == {percent(1 / len(EMOTIONS))} == {"12%"}
    assert "Not sure: 12%" in html
    assert "ser-open" in html


def test_the_dot_of_an_answer_that_is_sure_is_filled(html):
    assert "ser-dot" in html
    assert "ser-open" not in html
