"""`ser predict` with speaker context."""

import csv
import io
import json

import numpy as np
import pytest
import soundfile

from ser.cli.main import main
from tests.command_line import is_one_sentence
from tests.contexts import context_predictor, write_context_model

NETWORK = "--network=ContextNetwork=tests.contexts.ContextNetwork"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """The options that name a model that takes context."""
    path = write_context_model(tmp_path_factory.mktemp("model") / "context.ckpt")
    return [f"--model={path}", NETWORK, "--workers=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, voice):
    """Three recordings of a person, a text, and a table of who speaks."""
    folder = tmp_path_factory.mktemp("person")
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", voice[: 22_000 - 1000 * number], 22_050 - 1500 * number)
    (folder / "notes.txt").write_text("words")
    (folder / "table.csv").write_text("file,who,emotion\n2.wav,anna,\n1.wav,bert,\n0.wav,anna,\n")
    return folder


def test_a_folder_is_the_context_of_the_person_who_speaks(options, folder, voice_file, capsys):
    arguments = ["predict", str(voice_file), str(folder / "1.wav"), *options, f"--same-speaker={folder}", "--json"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    first, second = json.loads(shown.out)
    assert (first["context_size"], second["context_size"]) == (3, 2)
    assert "left out: 1 .csv, 1 .txt" in shown.err or "left out: 1 .txt, 1 .csv" in shown.err
    model = context_predictor().with_context(sorted(folder.glob("*.wav")))
    for row, path in ((first, voice_file), (second, folder / "1.wav")):
        expected = model.predict(path).probabilities
        np.testing.assert_allclose(list(row["probabilities"].values()), expected, atol=1e-5)


def test_a_column_says_who_speaks(options, folder, capsys):
    assert main(["predict", str(folder / "table.csv"), *options, "--speaker-column=who", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == [str(folder / name) for name in ("2.wav", "1.wav", "0.wav")]
    assert [row["context_size"] for row in rows] == ["1", "0", "1"]
    known = context_predictor().with_context([folder / "0.wav"])
    expected = known.predict(folder / "2.wav").probabilities
    found = [float(value) for name, value in rows[0].items() if name.startswith("p_")]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_table_is_predicted_into_a_file_and_gone_on_with(options, folder, tmp_path, capsys):
    output = tmp_path / "results.jsonl"
    arguments = ["predict", str(folder / "table.csv"), *options, "--speaker-column=who", f"--output={output}"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"3 predictions written to {output}\n"
    assert main([*arguments, "--resume"]) == 0
    assert capsys.readouterr().out == f"0 predictions written to {output}, 3 were there already\n"
    assert main(["predict", str(folder / "0.wav"), *options, f"--output={output}", "--resume"]) == 1
    assert is_one_sentence(capsys.readouterr().err, "another model")


def test_in_a_long_recording_one_person_speaks(options, voice, tmp_path, capsys):
    """The earlier utterances are context; a file of such answers is not gone on with by others."""
    pause = np.zeros(66_150, dtype=np.float32)
    path, output = tmp_path / "long.wav", tmp_path / "results.jsonl"
    soundfile.write(path, np.concatenate([pause, voice[:22_000], pause, voice[2000:20_000]]), 22_050)
    expected = context_predictor().predict(path, single_speaker=True).probabilities
    plain = context_predictor().predict(path).probabilities
    assert main(["predict", str(path), *options, "--single-speaker", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(list(row["probabilities"].values()), expected, atol=1e-5)
    assert np.abs(plain - expected).max() > 1e-4
    assert main(["predict", str(path), *options, "--single-speaker", f"--output={output}"]) == 0
    assert main(["predict", str(path), *options, "--single-speaker", f"--output={output}", "--resume"]) == 0
    assert capsys.readouterr().out.endswith("1 were there already\n")
    assert main(["predict", str(path), *options, f"--output={output}", "--resume"]) == 1
    assert is_one_sentence(capsys.readouterr().err, "another model")


@pytest.mark.parametrize("given", [["--same-speaker=FOLDER"], ["--speaker-column=who"], ["--single-speaker"]])
def test_a_model_that_takes_none_says_so(tiny_checkpoint, folder, capsys, given):
    arguments = [one.replace("FOLDER", str(folder)) for one in given]
    assert main(["predict", str(folder / "table.csv"), f"--model={tiny_checkpoint}", *arguments, "--json"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "[]\n"
    assert is_one_sentence(shown.err, "takes no speaker context; load one that does, such as ser-voices")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["FOLDER/0.wav", "--same-speaker=FOLDER", "--speaker-column=who"], "one of --same-speaker and --speaker-col"),
        (["FOLDER/table.csv", "--speaker-column=who", "--single-speaker"], "one of --single-speaker and --speaker-col"),
        (["FOLDER/table.csv", "FOLDER/0.wav", "--speaker-column=who"], "--speaker-column needs one table of files"),
    ],
)
def test_what_does_not_go_together_is_refused(options, folder, capsys, arguments, message):
    assert main(["predict", *(one.replace("FOLDER", str(folder)) for one in arguments), *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["FOLDER/table.csv", "--speaker-column=caller"], "table.csv has no column 'caller'"),
        (["FOLDER/0.wav", "--same-speaker=FOLDER/none"], "none: there is no such file or folder"),
        (["FOLDER/0.wav", "--same-speaker=FOLDER/notes.txt"], "notes.txt cannot be read as sound"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(options, folder, capsys, arguments, message):
    assert main(["predict", *(one.replace("FOLDER", str(folder)) for one in arguments), *options]) == 1
    assert is_one_sentence(capsys.readouterr().err, message)
