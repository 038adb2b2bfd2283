import json

import numpy as np
import pytest

from ser.cli.main import main
from ser.cli.predict import expand_folders
from ser.errors import AudioError
from ser.inference.checkpoint import load_recogniser
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, write_pretrained
from tests.command_line import is_one_sentence


@pytest.fixture
def box(tmp_path, monkeypatch):
    """An empty folder in place of the package's, and a working directory with nothing in or beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ser.inference.pretrained.MODELS", tmp_path / "models")
    return tmp_path / "models"


@pytest.mark.parametrize("arguments", [[], ["--model", DEFAULT_MODEL]])
def test_the_default_is_the_pretrained_model(box, tiny_checkpoint, voice_file, capsys, arguments):
    write_pretrained(box / f"{DEFAULT_MODEL}.safetensors", *load_recogniser(tiny_checkpoint))
    assert main(["predict", *arguments, "--json", str(voice_file), "--workers", "1"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    expected = Predictor.load(tiny_checkpoint).predict(voice_file).probabilities
    np.testing.assert_allclose(list(shown["probabilities"].values()), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("VOICE", "--model is needed; train one with `ser train`. There is no pretrained model ser-ravdess"),
        ("VOICE --model ../x", "../x: there is no such file or folder, and no pretrained model of that name; none"),
    ],
)
def test_what_is_missing_is_one_sentence(box, voice_file, capsys, monkeypatch, tmp_path, arguments, message):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # in which `../x` is nothing
    assert main(["predict", *arguments.replace("VOICE", str(voice_file)).split()]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert is_one_sentence(shown.err, message), shown.err


def test_folders_are_expanded_once_each_in_order(tmp_path):
    (tmp_path / "more").mkdir()
    *voices, late, notes = (tmp_path / name for name in ("0.wav", "1.wav", "2.wav", "more/late.flac", "notes.txt"))
    for path in (*voices, late, notes):
        path.touch()
    assert expand_folders([tmp_path]) == [*voices, late]
    assert expand_folders([late, tmp_path, voices[0]]) == [late, *voices]


def test_nothing_to_expand_is_refused_by_name(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(AudioError, match=rf"^{tmp_path} holds no sound file"):
        expand_folders([tmp_path])
    with pytest.raises(AudioError, match=r"missing\.wav: there is no such file"):
        expand_folders([tmp_path / "missing.wav"])


def test_results_are_added_to_a_file_and_those_in_it_left_out(box, tiny_checkpoint, voice_file, capsys, tmp_path):
    bad, results = tmp_path / "bad.wav", tmp_path / "results.jsonl"
    bad.write_text("words")
    arguments = ["predict", str(voice_file), str(bad), f"--model={tiny_checkpoint}", "--results", str(results)]
    for n_new, files in ((1, [voice_file, bad]), (0, [voice_file, bad, bad])):  # a failure is tried once more
        assert main(arguments) == 1
        shown = capsys.readouterr()
        assert shown.out == f"{n_new} predictions added to {results}\n"
        assert is_one_sentence(shown.err, "bad.wav")
        assert [json.loads(line)["file"] for line in results.read_text().splitlines()] == list(map(str, files))
