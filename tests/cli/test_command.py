"""What the commands share: output, exit status, one sentence for an error; and the list of them all."""

from dataclasses import dataclass

import pytest

from ser.__main__ import main
from ser.cli import COMMANDS
from ser.cli.command import key_value_command
from ser.errors import SerError


@dataclass(frozen=True, kw_only=True)
class Settings:
    name: str
    count: int = 1


def run(act, arguments):
    return key_value_command(act, Settings, arguments, name="test", description="A test.")


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_text_is_printed_with_one_newline(capsys, end):
    assert run(lambda settings: f"{settings.name} {settings.count + 1}{end}", ["name=7", "count=2"]) == 0
    assert capsys.readouterr().out == "7 3\n"


@pytest.mark.parametrize("error", [SerError("This is wrong."), FileNotFoundError("no such file")])
def test_an_error_for_people_is_one_sentence(capsys, error):
    def act(settings):
        raise error

    assert run(act, ["name=a"]) == 1
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", f"error: {error}\n")


def test_what_is_no_error_for_people_passes():
    with pytest.raises(ZeroDivisionError):
        run(lambda settings: str(1 / 0), ["name=a"])


def test_ctrl_c_is_one_word(capsys):
    def act(settings):
        raise KeyboardInterrupt

    assert run(act, ["name=a"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_a_bad_key_is_named(capsys):
    assert run(lambda settings: "", ["nam=a"]) == 1
    assert "test.nam" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_command_all_are_listed(monkeypatch, capsys, arguments):
    monkeypatch.setattr("sys.argv", ["ser", *arguments])
    assert main() == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]]
    assert listed == list(COMMANDS)


def test_a_command_that_does_not_exist_is_one_sentence(capsys):
    assert main(["nonsense"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: there is no command 'nonsense'; known are train, ")
    assert output.err.count("\n") == 1
