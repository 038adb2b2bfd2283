"""The `ser` command: its list, its exit status, one sentence for an error, completion."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ser.cli import main as command_line
from ser.cli.command import exit_status
from ser.cli.main import COMMANDS, HYDRA_COMMANDS, main
from ser.errors import SerError
from tests.command_line import ROOT, is_one_sentence, users_environment

NEEDS_TORCH = 'error: The command needs torch, which is not installed: pip install "ser[train]".'


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (SerError("This is wrong."), 1, "error: This is wrong."),
        (FileNotFoundError("no such file"), 1, "error: no such file"),
        (
            ModuleNotFoundError(name="torch"),
            1,
            'error: The command needs torch, which is not installed: pip install "ser[train]".',
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "train"])
def test_an_error_for_people_is_one_line(monkeypatch, capsys, command, error, status, line):
    def act():
        raise error

    # As the commands are: the function of an ordinary one, and the `main` of one of Hydra's, which has a status.
    module = SimpleNamespace(predict=act, main=lambda arguments: exit_status(act))
    monkeypatch.setattr(command_line, "_module", lambda name: module)
    assert main([command]) == status
    assert capsys.readouterr() == ("", f"{line}\n")


@pytest.mark.parametrize("error", [ZeroDivisionError(), ModuleNotFoundError(name="of_the_users_own")])
def test_what_is_no_error_for_people_passes(error):
    def act():
        raise error

    with pytest.raises(type(error)):
        exit_status(act)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("nonsense", "there is no command 'nonsense'; known are train, prepare, evaluate, "),
        ("trian", "there is no command 'trian'; did you mean 'train'."),
        ("predict", "Missing argument"),
        ("predict a.wav --jsn", "No such option: --jsn (Possible options: "),
        ("predict a.wav --json --csv", "give one of --json and --csv, not both."),
        ("predict a.wav --output x.csv --csv", "the suffix of --output says the format"),
        ("predict a.wav --resume", "--resume goes on with a file: name it by --output."),
        ("predict a.wav --workers two", "Invalid value for '--workers'"),
        ("publish run", "Missing option '--name'"),
    ],
)
def test_a_command_line_that_is_not_understood_is_one_sentence(capsys, arguments, sentence):
    assert main(arguments.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert is_one_sentence(shown.err, sentence), shown.err


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_command_all_are_listed_with_a_line_each(monkeypatch, capsys, arguments):
    monkeypatch.setattr("sys.argv", ["ser", *arguments])
    assert main() == 0
    _, _, listed = capsys.readouterr().out.partition("Commands:\n")
    assert dict(line.split(maxsplit=1) for line in listed.splitlines()) == HYDRA_COMMANDS | COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_an_ordinary_command_explains_each_of_its_options(capsys, name):
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: ser {name} ")
    assert "-h, --help" in shown


def test_the_list_brings_in_no_library_of_the_commands():
    heavy = {"torch", "lightning", "hydra", "numpy", "pandas", "streamlit", "pydantic"}
    code = f"import sys; from ser.cli.main import main; main(['--help']); assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE)


def test_a_prediction_brings_in_nothing_that_it_does_not_need(voice_file):
    heavy = {"torch", "lightning", "hydra", "omegaconf", "pandas", "pyarrow", "scipy", "sklearn", "librosa", "rich"}
    code = (
        "import sys; from ser.__main__ import main; "
        f"assert main(['predict', {str(voice_file)!r}, '--csv']) == 0; assert not {heavy} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    "line", ["--json FILE --model MODEL", "FILE --model MODEL --json", "--model=MODEL FILE --json"]
)
def test_options_stand_anywhere(voice_file, tiny_checkpoint, capsys, line):
    arguments = line.replace("FILE", str(voice_file)).replace("MODEL", str(tiny_checkpoint)).split()
    assert main(["predict", *arguments]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["file"] == str(voice_file)


PREDICT = (
    "model", "json", "csv", "output", "resume", "same-speaker", "single-speaker", "speaker-column", "workers",
    "launcher", "address", "part-size", "encoder", "network", "feature-group", "help",
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("ser c", {"cross-validate", "compare", "corpus", "card"}),
        ("ser predict --w", {"--workers"}),
        ("ser predict --", {f"--{name}" for name in PREDICT}),
        ("ser export run --o", {"--output"}),
        ("ser train experiment=d", {"experiment=debug", "experiment=demo"}),
        ("ser train seed=1 path", {"paths=default"}),
        ("ser train model/l", {"model/loss=cross_entropy"}),
    ],
)
def test_shells_complete_commands_options_and_choices(words, completed):
    variables = {"_SER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "ser"], env=users_environment() | variables, cwd=os.sep, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == completed, done.stderr


def test_a_hydra_command_is_given_all_that_stands_behind_its_name(monkeypatch):
    given = []
    module = SimpleNamespace(main=lambda arguments: given.extend(arguments) or 7)
    monkeypatch.setattr(command_line, "_module", {"cross-validate": module}.get)
    line = ["-m", "a=1,2", "--cfg", "job", "--config-dir=x", "-cn", "y", "--info", "--help", "+b.c=[1, 2]", "~d"]
    assert main(["cross-validate", *line]) == 7
    assert given == line
