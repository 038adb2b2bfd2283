"""The page as a visitor uses it, without a browser."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import streamlit as st
import torch

from app import page, reading
from app.capacity import Capacity
from app.markdown import plain
from app.model_choice import OPTION
from ser.corpora.ravdess import EMOTIONS
from ser.inference.checkpoint import load_recogniser, save_atomically
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, write_pretrained
from tests.command_line import ROOT

NAMED = "03-01-06-02-01-01-17.wav"


def give(app, *files):
    """Upload files, given as name and content, and run the page."""
    return app.file_uploader[0].set_value([(name, content, "audio/wav") for name, content in files]).run()


def texts(app):
    """Everything that is written on the page, but the side panel."""
    kinds = ("title", "subheader", "markdown", "caption", "error", "warning")
    return "\n".join(element.value for kind in kinds for element in app.main.get(kind))


def specs(app):
    return [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]


def test_without_a_model_the_page_shows_commands_that_exist(open_app):
    app = open_app()
    assert not [*app.exception, *app.error, *app.file_uploader]
    shown = texts(app)
    assert "--model outputs/train" in shown
    assert "SER_CHECKPOINT=" in shown
    commands, experiments = (
        re.findall(r"^(?:\S+ )?ser (\S+)", shown, re.MULTILINE),
        re.findall(r"experiment=(\w+)", shown),
    )
    assert (set(commands), experiments) == ({"train", "corpus", "export", "app"}, ["demo"])
    assert all(find_spec(f"ser.cli.{name}") for name in commands)
    assert (ROOT / "conf" / "experiment" / "demo.yaml").is_file()


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("--model=no_such.ckpt", r"no\\_such.* no such checkpoint"),
        ("--model=bad_one.ckpt", r"bad\\_one.* is damaged or not a checkpoint"),
        ("model=x", "model=x is not an argument"),
    ],
)
def test_a_bad_argument_is_one_sentence(open_app, tmp_path, argument, shown):
    (tmp_path / "bad_one.ckpt").write_bytes(b"not a checkpoint")
    app = open_app(argument)
    (error,) = app.error
    assert re.search(shown, error.value)
    assert not [*app.exception, *app.file_uploader]


def test_one_voice_is_predicted(app, readings, short_wav):
    give(app, ("my_voice.wav", short_wav))
    assert not [*app.exception, *app.error]
    expected = readings[0].prediction
    assert app.subheader[0].value == f"{expected.emotion.capitalize()}, {expected.confidence:.0%}"
    assert "my\\_voice.wav" in texts(app)
    assert f"1.4 seconds, {expected.speech:.1f} seconds of speech." in texts(app)
    assert len(app.get("audio")) == 1
    bars, picture = specs(app)
    assert bars["layer"][0]["encoding"]["y"]["sort"] == list(EMOTIONS)
    percent = json.loads(bars["layer"][1]["encoding"]["y"]["axis"]["labelExpr"].removesuffix("[datum.value]"))
    assert percent == {name: f"{p:.1%}" for name, p in zip(EMOTIONS, expected.probabilities, strict=True)}
    assert picture["autosize"]["type"] == "fit-x"
    assert not app.dataframe
    assert "uncertain" not in texts(app)


def test_a_long_recording_has_a_timeline(app, readings, long_wav):
    give(app, ("long.wav", long_wav))
    n_segments = len(readings[1].prediction.segments)
    assert f"{n_segments} utterances; this is their mean, weighted by speech." in texts(app)
    assert len(specs(app)) == 3
    assert specs(app)[1]["encoding"]["y"]["scale"]["domain"] == list(EMOTIONS)
    (segments,) = app.dataframe
    assert len(segments.value) == n_segments


@pytest.mark.parametrize(("url", "warned"), [("http://10.0.0.7:8501", True), ("https://a.org", False), (None, False)])
def test_a_page_without_https_says_why_there_is_no_microphone(open_app, tiny_checkpoint, monkeypatch, url, warned):
    monkeypatch.setattr(type(st.context), "url", property(lambda _: url))
    shown = open_app(f"{OPTION}={tiny_checkpoint}")
    assert [("without HTTPS" in warning.value) for warning in shown.warning] == [True] * warned
    assert any("Allow this page the microphone" in caption.value for caption in shown.caption)


def test_a_sound_without_speech_gets_no_emotion(app):
    content = io.BytesIO()
    soundfile.write(content, np.random.default_rng(0).normal(scale=0.1, size=2 * 22050), 22050, format="WAV")
    fan = content.getvalue()
    give(app, ("fan.wav", fan))
    assert not [*app.exception, *app.error]
    assert app.subheader[0].value == "No speech found"
    assert "So there is no emotion to predict." in texts(app)
    assert len(specs(app)) == 1  # the picture
    give(app, ("fan.wav", fan), ("other.wav", fan))
    assert list(app.dataframe[0].value["emotion"]) == ["no speech found"] * 2


def test_several_recordings_make_a_table_and_a_file(app, short_wav, long_wav, monkeypatch):
    offered = []
    monkeypatch.setattr(st, "download_button", lambda label, data, **options: offered.append(data))
    give(app, ("first.wav", short_wav), ("words.wav", b"words"), (NAMED, long_wav))
    assert not app.exception
    (error,) = app.error
    assert error.value.startswith("words.wav cannot be read as sound")
    table = app.dataframe[0].value
    assert list(table["file"]) == ["first.wav", "words.wav", NAMED]
    assert table["true"].fillna("").tolist() == ["", "", "fearful"]
    rows = list(csv.DictReader(io.StringIO(offered[-1].removeprefix("\ufeff"))))
    assert [row["file"] for row in rows] == ["first.wav", NAMED]
    assert float(rows[1]["confidence"]) == pytest.approx(table["confidence"][2])
    assert app.subheader[0].value.startswith(table["emotion"][0].capitalize())
    assert app.selectbox[0].options == ["first.wav", NAMED]
    app.selectbox[0].select_index(1).run()
    assert f"**{NAMED}**" in texts(app)
    assert "**first.wav**" not in texts(app)
    assert app.subheader[0].value.startswith(table["emotion"][2].capitalize())


def test_a_name_of_ravdess_tells_right_from_wrong(app, readings, short_wav):
    predicted = readings[0].prediction.emotion
    right = EMOTIONS.index(predicted) + 1
    wrong = right % len(EMOTIONS) + 1
    give(app, (f"03-01-{right:02d}-01-01-01-17.wav", short_wav))
    assert f"right: its name says {predicted}" in app.subheader[0].value
    assert "may have been trained on this very recording" in texts(app)
    give(app, (f"03-01-{wrong:02d}-01-01-01-17.wav", short_wav))
    assert f"wrong: its name says {EMOTIONS[wrong - 1]}" in app.subheader[0].value
    give(app, ("hello.wav", short_wav))
    assert "name says" not in texts(app)


def test_a_prediction_below_the_rejection_threshold_is_marked(open_app, tiny_content, tmp_path, short_wav):
    unsure = {**tiny_content, "ser": {**tiny_content["ser"], "rejection_threshold": 0.99}}
    save_atomically(unsure, tmp_path / "unsure.ckpt")
    app = give(open_app(f"--model={tmp_path}/unsure.ckpt"), ("a.wav", short_wav))
    assert "uncertain]" in app.subheader[0].value
    assert "Below 99%, the dashed line" in texts(app)


def test_too_many_files_are_cut_to_the_first(app, short_wav, monkeypatch):
    monkeypatch.setattr("app.results_section.MAX_FILES", 2)
    give(app, *((f"{number}.wav", short_wav) for number in range(3)))
    assert "3 recordings are too many at once" in app.warning[0].value
    assert list(app.dataframe[0].value["file"]) == ["0.wav", "1.wav"]


def test_a_warning_of_the_recording_is_shown(app, voice):
    content = io.BytesIO()
    soundfile.write(content, np.clip(20 * voice[:30000], -1, 1), 22050, format="WAV")
    give(app, ("loud.wav", content.getvalue()))
    assert "clipped" in app.warning[0].value


def test_a_recording_from_the_microphone_is_read_at_the_rate_of_the_model(app, readings, short_wav):
    assert app.audio_input[0].sample_rate == 22050
    app.audio_input[0].set_value(("audio.wav", short_wav, "audio/wav")).run()
    assert "Your recording" in texts(app)
    assert app.subheader[0].value.startswith(readings[0].prediction.emotion.capitalize())


def test_nothing_is_read_twice(app, short_wav, long_wav, monkeypatch):
    monkeypatch.setattr(reading, "read", read := Mock(wraps=reading.read))
    give(app, ("1.wav", short_wav), ("2.wav", long_wav))
    app.selectbox[0].select_index(1).run()
    app.run()
    assert [call.args[0].name for call in read.mock_calls] == ["1.wav", "2.wav"]
    assert len(app.session_state["known-upload"]) == 2
    app.file_uploader[0].clear().run()
    assert app.session_state["known-upload"] == {}


def test_a_busy_server_offers_to_try_again(app, short_wav, monkeypatch):
    none_free = Capacity(at_once=1, max_waiting=0)
    monkeypatch.setattr(page, "_shared_capacity", lambda: none_free)
    with none_free.turn():
        give(app, ("a.wav", short_wav))
        assert "Many people" in app.warning[0].value
        assert not app.subheader
    app.button[0].click().run()
    assert app.subheader
    assert not app.warning


def test_a_fault_of_ours_is_one_sentence(app, monkeypatch):
    monkeypatch.setattr(page, "show_results", Mock(side_effect=RuntimeError("secret detail")))
    app.run()
    assert not app.exception
    (error,) = app.error
    assert "Something went wrong on the server" in error.value
    assert "secret" not in texts(app)


def details(app):
    """All that is written on the side panel."""
    return "\n".join(element.value for element in app.sidebar.markdown)


def test_a_model_is_chosen_the_pretrained_one_first_then_the_newest_run(
    open_app, pretrained_models, tiny_checkpoint, tiny_content, tmp_path, short_wav, readings
):
    pretrained, best = pretrained_models / f"{DEFAULT_MODEL}.safetensors", "2026-01-31_12-00-00/checkpoints/best.ckpt"
    write_pretrained(pretrained, *load_recogniser(tiny_checkpoint))
    for age, name in enumerate(("old", "new")):
        path = tmp_path / "outputs" / name / best
        path.parent.mkdir(parents=True)
        shutil.copy(tiny_checkpoint, path)
        os.utime(path, (age, age))
    app = open_app()
    of_runs = [f"{name} · 2026-01-31 12:00 · PyTorch" for name in ("new", "old")]
    assert app.sidebar.selectbox[0].options == ["ser-ravdess · PyTorch", *of_runs]
    assert app.sidebar.selectbox[0].value == pretrained
    assert "Written" not in details(app)  # the time of the installation
    give(app, ("a.wav", short_wav))
    expected = readings[0].prediction.emotion.capitalize()
    assert app.subheader[0].value.startswith(expected)
    app.sidebar.selectbox[0].select_index(1).run()
    assert "Written" in details(app)
    assert app.subheader[0].value.startswith(expected)
    # The same file, another model: with it, everything is read anew.
    state = tiny_content["state_dict"]
    state = state | {name: torch.zeros_like(value) for name, value in state.items() if "classify" in name}
    save_atomically({**tiny_content, "state_dict": state}, path)
    app.run()
    assert app.subheader[0].value == "Neutral, 12%"


def test_visitors_have_one_model_and_see_only_their_own(
    open_app, tiny_checkpoint, tmp_path, short_wav, long_wav, monkeypatch
):
    monkeypatch.setattr(Predictor, "load", load := Mock(wraps=Predictor.load))
    monkeypatch.setattr(page, "Capacity", make_capacity := Mock(wraps=Capacity))
    shutil.copy(tiny_checkpoint, tmp_path / "mine.ckpt")
    one, other = (open_app(f"--model={tmp_path}/mine.ckpt") for _ in range(2))
    assert load.call_count == 1
    assert make_capacity.call_count <= 1  # none if an earlier test made it
    give(one, ("mine.wav", short_wav))
    give(other, ("theirs.wav", long_wav))
    one.run()
    assert "mine.wav" in texts(one)
    assert "theirs.wav" not in texts(one)
    assert "mine.wav" not in texts(other)


def test_the_side_panel_shows_what_the_model_is(app, tiny_metadata):
    shown = details(app)
    assert plain(tiny_metadata.protocol) in shown
    for fact in (*EMOTIONS, "cnn\\_bilstm\\_luong", "22,050 Hz", "PyTorch", "lie detector", "24 actors"):
        assert fact in shown
    assert "Its scores are not known" in app.sidebar.caption[0].value


def test_the_app_brings_in_nothing_heavy():
    code = "import sys, app.page; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "onnxruntime" not in loaded  # a model's own runtime, only once it is read
    assert not {"torch", "lightning", "hydra", "omegaconf", "librosa", "matplotlib", "sklearn"} & set(loaded)
