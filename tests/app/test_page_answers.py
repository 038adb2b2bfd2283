"""What the page answers to what a visitor gives, without a browser."""

import csv
import io
import json
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import streamlit as st

from app import reading
from app.examples import EXAMPLES
from app.parts import parts_of
from app.words import headline, how_sure, percent, sounds
from ser.corpora.ravdess import EMOTIONS
from ser.inference.checkpoint import save_atomically
from tests.app.page import answers, data_of, give, rows_of, texts

NAMED = "03-01-06-02-01-01-17.wav"


def test_one_voice_is_answered_in_words(app, readings, short_wav):
    give(app, ("my_voice.wav", short_wav))
    assert not [*app.exception, *app.error]
    expected = readings[0].prediction
    assert answers(app) == [f"Sounds {sounds(expected.emotion)}"]
    assert how_sure(expected) in texts(app)
    assert "my_voice.wav" in texts(app)
    assert f"1.4 seconds, {expected.speech:.1f} seconds of speech." in texts(app)
    assert len(app.get("audio")) == 1
    ranked = [(name, f"{100 * p:.2f}", percent(p)) for name, p in expected.top(len(EMOTIONS))]
    assert rows_of(app.html[0].value) == ranked
    assert data_of(app, "line-upload-0")["said"] == f"my_voice.wav: Sounds {sounds(expected.emotion)}"
    assert data_of(app, "rows") is None
    assert not [*app.dataframe, *app.get("vega_lite_chart")]


def test_technical_pictures_are_drawn_when_somebody_opens_them(app, short_wav, long_wav):
    give(app, ("short.wav", short_wav))
    app.session_state["pictures-upload-0"] = True
    app.run()
    (chart,) = app.get("vega_lite_chart")
    assert json.loads(chart.proto.spec)["autosize"]["type"] == "fit-x"
    assert not app.dataframe
    give(app, ("long.wav", long_wav))
    (utterances,) = app.dataframe
    assert len(utterances.value) > 1


def test_a_long_recording_is_a_line_of_parts(app, readings, long_wav):
    give(app, ("long.wav", long_wav))
    prediction = readings[1].prediction
    parts = data_of(app, "line-upload-0")["parts"]
    assert [one["emotion"] for one in parts] == [part.emotion for part in parts_of(prediction)]
    assert f"{len(prediction.segments)} utterances" in texts(app)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.file for example in EXAMPLES])
def test_an_example_is_answered_by_one_click_and_says_that_it_is_synthetic(app, example):
    app.pills[0].set_value(example.label).run()
    assert not [*app.exception, *app.error]
    assert len(answers(app)) == 1
    assert example.note in texts(app)


def test_what_was_given_last_is_answered(app, short_wav, long_wav):
    give(app, ("mine.wav", short_wav))
    app.pills[0].set_value(EXAMPLES[0].label).run()
    assert EXAMPLES[0].note in texts(app)
    assert "mine.wav" not in texts(app)
    app.audio_input[0].set_value(("audio.wav", long_wav, "audio/wav")).run()
    assert "Your recording" in texts(app)
    assert app.pills[0].value is None
    app.audio_input[0].set_value(None).run()
    assert "mine.wav" in texts(app)


def test_a_sound_without_speech_gets_no_emotion(app):
    content = io.BytesIO()
    soundfile.write(content, np.random.default_rng(0).normal(scale=0.1, size=2 * 22050), 22050, format="WAV")
    fan = content.getvalue()
    give(app, ("fan.wav", fan))
    assert not [*app.exception, *app.error]
    assert answers(app) == ["No speech found"]
    assert "So there is no emotion to predict." in texts(app)
    give(app, ("fan.wav", fan), ("other.wav", fan))
    assert [row["emotion"] for row in data_of(app, "rows")["rows"]] == ["no speech found"]
    assert [row["emotion"] for row in data_of(app, "rows-below")["rows"]] == ["no speech found"]


def test_several_recordings_make_a_table_whose_rows_open_and_a_file(app, short_wav, long_wav, monkeypatch):
    offered = []
    monkeypatch.setattr(st, "download_button", lambda label, data, **options: offered.append(data))
    give(app, ("first.wav", short_wav), ("words.wav", b"words"), (NAMED, long_wav))
    assert not app.exception
    (error,) = app.error
    assert error.value.startswith("words.wav cannot be read as sound")
    above, below = data_of(app, "rows")["rows"], data_of(app, "rows-below")["rows"]
    assert [(row["name"], row["open"]) for row in above] == [("first.wav", True)]
    assert [(row["name"], row["open"]) for row in below] == [("words.wav", False), (NAMED, False)]
    assert "**2 recordings:**" in texts(app)
    rows = list(csv.DictReader(io.StringIO(offered[-1].removeprefix("\ufeff"))))
    assert [(row["file"], row["true"]) for row in rows] == [("first.wav", ""), (NAMED, "fearful")]
    app.session_state["opened"] = below[1]["key"]
    app.run()
    assert [row["open"] for row in data_of(app, "rows")["rows"]] == [False, False, True]
    assert data_of(app, "rows-below") is None
    assert answers(app) == [headline(app.session_state["known-upload"].popitem()[1][below[1]["key"]].prediction)]
    app.session_state["opened"] = None
    app.run()
    assert answers(app) == []
    app.session_state["opened"] = "a key of nobody"
    app.run()
    assert len(answers(app)) == 1


def test_a_name_of_ravdess_tells_right_from_wrong(app, readings, short_wav):
    predicted = readings[0].prediction.emotion
    right = EMOTIONS.index(predicted) + 1
    wrong = right % len(EMOTIONS) + 1
    give(app, (f"03-01-{right:02d}-01-01-01-17.wav", short_wav))
    assert f"Right: its name says {predicted}." in texts(app)
    assert "may have been trained on this very recording" in texts(app)
    give(app, (f"03-01-{wrong:02d}-01-01-01-17.wav", short_wav))
    assert f"Wrong: its name says {EMOTIONS[wrong - 1]}." in texts(app)
    give(app, ("hello.wav", short_wav))
    assert "name says" not in texts(app)


def test_a_prediction_below_the_rejection_threshold_is_no_claim(open_app, tiny_content, tmp_path, short_wav):
    unsure = {**tiny_content, "ser": {**tiny_content["ser"], "rejection_threshold": 0.99}}
    save_atomically(unsure, tmp_path / "unsure.ckpt")
    app = give(open_app(f"--model={tmp_path}/unsure.ckpt"), ("a.wav", short_wav))
    assert answers(app)[0].startswith("Hard to tell, perhaps ")
    assert "Below 99%, this model gives no clear answer." in texts(app)


def test_too_many_files_are_cut_to_the_first(app, short_wav, monkeypatch):
    monkeypatch.setattr("app.results_section.MAX_FILES", 2)
    give(app, *((f"{number}.wav", short_wav) for number in range(3)))
    assert "3 recordings are too many at once" in app.warning[0].value
    names = [row["name"] for key in ("rows", "rows-below") for row in data_of(app, key)["rows"]]
    assert names == ["0.wav", "1.wav"]


def test_a_warning_of_the_recording_is_shown(app, voice):
    content = io.BytesIO()
    soundfile.write(content, np.clip(20 * voice[:30000], -1, 1), 22050, format="WAV")
    give(app, ("loud.wav", content.getvalue()))
    assert "clipped" in app.warning[0].value


def test_a_recording_from_the_microphone_is_read_at_the_rate_of_the_model(app, readings, short_wav):
    assert app.audio_input[0].sample_rate == 22050
    app.audio_input[0].set_value(("audio.wav", short_wav, "audio/wav")).run()
    assert "Your recording" in texts(app)
    assert answers(app) == [headline(readings[0].prediction)]


def test_nothing_is_read_twice(app, short_wav, long_wav, monkeypatch):
    monkeypatch.setattr(reading, "read", read := Mock(wraps=reading.read))
    give(app, ("1.wav", short_wav), ("2.wav", long_wav))
    app.session_state["opened"] = None
    app.run()
    assert [call.args[0].name for call in read.mock_calls] == ["1.wav", "2.wav"]
    (known,) = app.session_state["known-upload"].values()
    assert len(known) == 2
    give(app, ("3.wav", short_wav))
    (known,) = app.session_state["known-upload"].values()
    assert len(known) == 1
