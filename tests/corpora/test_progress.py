import io
import logging
import sys

import pytest
import rich.file_proxy

from ser.corpora.progress import ConsoleHandler, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_items_pass_through_and_the_end_is_logged(monkeypatch, caplog, stream):
    shown = stream()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    with caplog.at_level(logging.INFO, logger="ser.corpora.progress"):
        assert list(track(iter("abc"), total=3, description="Letters", unit="letters")) == ["a", "b", "c"]
    assert "Letters: 3 letters in" in caplog.text
    assert ("Letters" in shown.getvalue()) == (stream is Terminal)


def test_items_are_taken_one_by_one():
    taken = []
    tracked = track((taken.append(n) or n for n in range(5)), total=5, description="Numbers", unit="numbers")
    assert next(tracked) == 0
    assert taken == [0]


def test_an_exception_passes_through(caplog):
    def failing():
        yield 1
        raise OSError("gone")

    with caplog.at_level(logging.INFO, logger="ser.corpora.progress"), pytest.raises(OSError, match="gone"):
        list(track(failing(), total=2, description="Failing", unit="steps"))
    assert "Failing" not in caplog.text


def test_what_is_logged_while_the_bar_is_shown_goes_round_it(monkeypatch):
    """The handler prints to whoever stands in for stdout, here rich's proxy, whatever stream it was made with."""
    terminal, handler = Terminal(), ConsoleHandler(sys.stdout)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    record = logging.LogRecord("ser", logging.INFO, __file__, 1, "message", None, None)
    for _ in track("ab", total=2, description="Letters", unit="letters"):
        handler.emit(record)
    assert terminal.getvalue().count("message\n") == 2
    assert not isinstance(sys.stdout, rich.file_proxy.FileProxy)
