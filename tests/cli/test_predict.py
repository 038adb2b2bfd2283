import json
import shutil

import numpy as np
import pytest

from ser.cli.main import main
from ser.inference.checkpoint import load_recogniser
from ser.inference.output import LineFile
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
        ("VOICE", "--model is needed; train one with `ser train`. There is no pretrained model ser-voices"),
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
    assert main(["predict", *arguments.replace("VOICE", str(voice_file)).split(), "--json"]) == 1
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_stopped_run_is_resumed_on_the_command_line(
    box, tiny_checkpoint, voice_file, capsys, tmp_path, monkeypatch, suffix
):
    bad, output = tmp_path / "bad.wav", tmp_path / f"results{suffix}"
    bad.write_text("words")
    arguments = ["predict", "voice.wav", str(bad), f"--model={tiny_checkpoint}", "--output", str(output)]
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == f"1 predictions written to {output}\n"
    assert is_one_sentence(shown.err, "bad.wav")
    assert main(arguments) == 1
    assert is_one_sentence(capsys.readouterr().err, f"{output} exists; go on with it by `--resume`")
    bad.write_bytes(voice_file.read_bytes())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main([*arguments[:1], "../voice.wav", *arguments[2:], "--resume"]) == 0
    assert capsys.readouterr() == (f"1 predictions written to {output}, 1 were there already\n", "")


def test_ctrl_c_keeps_what_is_done_and_says_so(box, tiny_checkpoint, voice_file, capsys, tmp_path, monkeypatch):
    output, add = tmp_path / "results.csv", LineFile.add

    def add_and_interrupt(self, results):
        add(self, results)
        if len(output.read_text().splitlines()) > 2:
            raise KeyboardInterrupt

    voices = [shutil.copy(voice_file, tmp_path / f"{number}.wav") for number in range(3)]
    monkeypatch.setattr("ser.inference.predictor._BATCH", 1)
    monkeypatch.setattr(LineFile, "add", add_and_interrupt)
    arguments = ["predict", *map(str, voices), f"--model={tiny_checkpoint}", f"--output={output}"]
    assert main(arguments) == 130
    assert capsys.readouterr().err == f"1 new predictions are in {output}; --resume goes on\ninterrupted\n"
    monkeypatch.undo()
    assert main([*arguments, "--resume"]) == 0
    assert capsys.readouterr().out == f"1 predictions written to {output}, 2 were there already\n"


def test_a_name_of_two_lines_is_one_sentence(box, tiny_checkpoint, capsys, tmp_path):
    (tmp_path / "two\nlines.wav").write_text("words")
    assert main(["predict", "two\nlines.wav", f"--model={tiny_checkpoint}"]) == 1
    assert is_one_sentence(capsys.readouterr().err, r"two\x0alines.wav")


@pytest.mark.parametrize(("option", "printed"), [("--json", "[]\n"), ("--csv", "file,emotion,"), ("--workers=1", "")])
def test_what_is_printed_where_nothing_can_be_read_is_valid(box, tiny_checkpoint, capsys, tmp_path, option, printed):
    (tmp_path / "bad.wav").write_text("words")
    assert main(["predict", "bad.wav", f"--model={tiny_checkpoint}", option]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith(printed)
    assert shown.out.count("\n") == (option != "--workers=1")
    assert is_one_sentence(shown.err, "bad.wav")
