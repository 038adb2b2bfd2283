"""The page as a visitor uses it, without a browser."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from unittest.mock import Mock

import numpy as np
import pytest
import streamlit as st
import torch

from app import page
from app.capacity import Capacity
from app.markdown import plain
from app.model_choice import OPTION
from app.words import headline
from ser.corpora.ravdess import EMOTIONS
from ser.inference.checkpoint import load_recogniser, save_atomically
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, write_pretrained
from tests.app.page import answers, data_of, give, texts
from tests.command_line import ROOT


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


@pytest.mark.parametrize(("url", "warned"), [("http://10.0.0.7:8501", True), ("https://a.org", False), (None, False)])
def test_a_page_without_https_says_why_there_is_no_microphone(open_app, tiny_checkpoint, monkeypatch, url, warned):
    monkeypatch.setattr(type(st.context), "url", property(lambda _: url))
    shown = open_app(f"{OPTION}={tiny_checkpoint}")
    assert [("without HTTPS" in warning.value) for warning in shown.warning] == [True] * warned
    assert ("Allow this page the microphone" in texts(shown)) is not warned


def test_a_busy_server_offers_to_try_again(app, short_wav, monkeypatch):
    none_free = Capacity(at_once=1, max_waiting=0)
    monkeypatch.setattr(page, "_shared_capacity", lambda: none_free)
    with none_free.turn():
        give(app, ("a.wav", short_wav))
        assert "Many people" in app.warning[0].value
        assert not answers(app)
    app.button[0].click().run()
    assert answers(app)
    assert not app.warning


def test_a_fault_of_ours_is_one_sentence(app, short_wav, monkeypatch):
    monkeypatch.setattr(page, "show_results", Mock(side_effect=RuntimeError("secret detail")))
    give(app, ("a.wav", short_wav))
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
    assert app.sidebar.selectbox[0].options == ["ser-voices · PyTorch", *of_runs]
    assert app.sidebar.selectbox[0].value == pretrained
    assert "Written" not in details(app)  # the time of the installation
    give(app, ("a.wav", short_wav))
    assert answers(app) == [headline(readings[0].prediction)]
    app.sidebar.selectbox[0].select_index(1).run()
    assert "Written" in details(app)
    assert answers(app) == [headline(readings[0].prediction)]
    # The same file, another model: with it, everything is read anew.
    state = tiny_content["state_dict"]
    state = state | {name: torch.zeros_like(value) for name, value in state.items() if "classify" in name}
    save_atomically({**tiny_content, "state_dict": state}, path)
    app.run()
    assert answers(app) == ["Sounds neutral"]
    assert "Rather unsure: 12%." in texts(app)


def test_two_models_answer_side_by_side(open_app, tiny_content, tmp_path, short_wav, readings):
    state = {name: torch.zeros_like(value) for name, value in tiny_content["state_dict"].items() if "classify" in name}
    contents = {"knows": tiny_content, "guesses": {**tiny_content, "state_dict": tiny_content["state_dict"] | state}}
    for age, (name, content) in enumerate(contents.items()):
        path = tmp_path / "outputs" / name / "checkpoints" / "best.ckpt"
        path.parent.mkdir(parents=True)
        save_atomically(content, path)
        os.utime(path, (-age, -age))
    app = give(open_app(), ("a.wav", short_wav))
    of_first = headline(readings[0].prediction)
    assert answers(app) == [of_first]
    (other,) = app.main.selectbox
    assert (other.value, other.options) == (None, ["guesses · PyTorch"])
    app.main.selectbox[0].select_index(0).run()
    assert answers(app) == [of_first, "Sounds neutral"]
    assert all(f"{name} · PyTorch" in texts(app) for name in contents)
    assert len(app.get("audio")) == 1
    assert data_of(app, "line-upload-1") is not None
    app.sidebar.selectbox[0].select_index(1).run()  # the other one becomes the first
    assert answers(app) == ["Sounds neutral"]
    assert app.main.selectbox[0].options == ["knows · PyTorch"]


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
    for fact in (*EMOTIONS, "cnn\\_bilstm\\_luong", "22,050 Hz", "PyTorch"):
        assert fact in shown
    assert "RAVDESS" not in shown  # which its metadata do not tell
    assert "Its scores are not known" in app.sidebar.caption[0].value


def test_privacy_and_limits_stand_on_the_page_itself(app, short_wav):
    for shown in (texts(app), texts(give(app, ("a.wav", short_wav)))):
        assert "sent to this server and nowhere else" in shown
        assert "**Not a lie detector**" in shown
        assert "RAVDESS" not in shown


def test_the_switch_for_context_is_there_only_where_the_model_takes_it(app, monkeypatch):
    monkeypatch.setattr(page, "_said", lambda file: {"earlier": np.zeros((1, 2), dtype=np.float32)})
    assert not app.run().toggle
    monkeypatch.setattr("app.context.takes_context", lambda metadata: True)
    (switch,) = app.run().toggle
    assert "said before in this session" in switch.label
    assert "in memory alone" in texts(app)


def test_the_app_brings_in_nothing_heavy():
    code = "import sys, app.page; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "onnxruntime" not in loaded  # a model's own runtime, only once it is read
    assert not {"torch", "lightning", "hydra", "omegaconf", "librosa", "matplotlib", "sklearn"} & set(loaded)
