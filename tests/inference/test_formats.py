import csv
import io
import json

import pandas as pd
import pytest

from ser.errors import printable
from ser.inference.formats import as_csv, as_json, as_table, csv_line, timeline
from tests.inference.predictions import CLASSES, silent, spoken, utterance

BOTH = (utterance(0.0, 2.1, 0.875), utterance(2.6, 4.0, 0.25))
DOUBTFUL = {"rejection_threshold": 0.8, "warnings": ("Too loud.", "Clipped.")}


def test_the_timeline_is_one_line():
    assert timeline(spoken("a.wav", segments=BOTH)) == "0.0-2.1 sad 0.88; 2.6-4.0 calm 0.75"
    assert timeline(silent("a.wav")) == ""


def test_the_table_is_aligned_and_says_status_and_doubt():
    shown = as_table([spoken("a.wav", segments=BOTH, **DOUBTFUL), silent("longer.wav")])
    assert shown.splitlines() == [
        "file        emotion  uncertain  status             sad   calm",
        "a.wav       sad      yes        speech           56.2%  43.8%",
        "longer.wav  -        no         no speech found      -      -",
        "timeline: a.wav: 0.0-2.1 sad 0.88; 2.6-4.0 calm 0.75",
        "note: a.wav: Too loud.",
        "note: a.wav: Clipped.",
    ]
    assert as_table([]) == ""


def test_json_is_a_list_of_plain_values():
    one, other = spoken("ü.wav", segments=BOTH, **DOUBTFUL), silent("b.wav")
    assert json.loads(as_json([one, other])) == [one.to_dict(), other.to_dict()]
    assert '"ü.wav"' in as_json([one])
    assert json.loads(as_json([])) == []


def test_a_prediction_without_an_emotion_has_nulls_in_json():
    values = silent("b.wav").to_dict()
    assert (values["emotion"], values["confidence"], values["uncertain"], values["probabilities"]) == (
        None,
        None,
        False,
        {},
    )
    assert (values["status"], values["utterances"], silent("b.wav").top()) == ("no speech found", [], [])
    assert spoken("a.wav", segments=BOTH).to_dict()["utterances"][1] == {
        **{"start": 2.6, "end": 4.0, "emotion": "calm", "confidence": 0.75},
        "probabilities": {"sad": 0.25, "calm": 0.75},
    }


def test_csv_is_read_back_by_pandas():
    text = as_csv(
        [spoken("a,b.wav", segments=BOTH, **DOUBTFUL), silent("c.wav")], CLASSES, further={"true": ["sad", ""]}
    )
    table = pd.read_csv(io.StringIO(text))
    before = ["file", "emotion", "confidence", "uncertain", "status", "speech", "duration", "p_sad", "p_calm"]
    assert list(table.columns) == [*before, "timeline", "warnings", "true"]
    assert list(table.iloc[0])[:9] == ["a,b.wav", "sad", 0.5625, "yes", "speech", 2.5, 4.0, 0.5625, 0.4375]
    assert list(table.iloc[0])[9:] == [timeline(spoken("", segments=BOTH)), "Too loud. Clipped.", "sad"]
    assert table.iloc[1].isna().tolist() == [False, True, True, False, False, False, False, *[True] * 5]
    assert list(csv.reader(io.StringIO(as_csv([], CLASSES)))) == [[*before, "timeline", "warnings"]]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_name_is_a_formula(start):
    (cells,) = csv.reader([csv_line([f"{start}1+1", f"a{start}"])])
    assert cells == ["'" + printable(start) + "1+1", f"a{printable(start)}"]


@pytest.mark.parametrize("name", ["two\nlines", "a\x00b", "\udcff\ud800", "\x1b[31mred", "\u2028", "x\x85y"])
def test_any_name_is_one_line_that_can_be_encoded(name):
    assert printable(name).isprintable()
    assert csv_line([name, "b"]).count("\n") == 1
    as_csv([spoken(name)], CLASSES).encode()
    as_table([spoken(name, warnings=("What?",))]).encode()
    assert printable("ü　é 日本.wav") == "ü　é 日本.wav"
