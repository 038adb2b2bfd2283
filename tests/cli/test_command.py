"""What the commands share: output, exit status, one sentence for an error; and the list of them all."""

import pytest

from ser.__main__ import main
from ser.cli import COMMANDS
from ser.cli.command import key_value_command
from ser.errors import SerError
from ser.features.validation import settings_dataclass
from tests.command_line import is_one_sentence


@settings_dataclass
class Settings:
    name: str
    count: int = 1


def run(act, arguments):
    return key_value_command(act, Settings, arguments, name="test", description="A test.")


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_text_is_printed_with_one_newline(capsys, end):
    assert run(lambda settings: f"{settings.name} {settings.count + 1}{end}", ["name=7", "count=2"]) == 0
    assert capsys.readouterr().out == "7 3\n"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (SerError("This is wrong."), 1, "error: This is wrong."),
        (FileNotFoundError("no such file"), 1, "error: no such file"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_for_people_is_one_line(capsys, error, status, line):
    def act(settings):
        raise error

    assert run(act, ["name=a"]) == status
    assert capsys.readouterr() == ("", f"{line}\n")


def test_what_is_no_error_for_people_passes():
    with pytest.raises(ZeroDivisionError):
        run(lambda settings: str(1 / 0), ["name=a"])


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("nam=a", "test.nam is not a setting; did you mean 'name'"),
        ("name", "'name' is not understood; give settings as key=value."),
        ("count=ten", "test.count is 'ten', but should be a whole number."),
    ],
)
def test_a_bad_argument_is_one_sentence(capsys, argument, sentence):
    assert run(lambda settings: "", ["name=a", argument]) == 1
    assert is_one_sentence(capsys.readouterr().err, sentence)


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_command_all_are_listed(monkeypatch, capsys, arguments):
    monkeypatch.setattr("sys.argv", ["ser", *arguments])
    assert main() == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]]
    assert listed == list(COMMANDS)


def test_a_command_that_does_not_exist_is_one_sentence(capsys):
    assert main(["nonsense"]) == 2
    assert is_one_sentence(capsys.readouterr().err, "there is no command 'nonsense'; known are train, ")
