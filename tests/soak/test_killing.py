import os
import sys
from pathlib import Path

import pytest

from soak.killing import Command, moments


@pytest.fixture
def command(tmp_path):
    """A process that begins, starts a child, counts for a while, and leaves a mark at its end."""
    program = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("child").write_text(str(child.pid))
pathlib.Path("begun").touch()
time.sleep(float(sys.argv[1]))
child.kill()
child.wait()
pathlib.Path("ended").touch()
sys.exit(int(sys.argv[2]))
"""

    def of(seconds, status=0):
        arguments = [sys.executable, "-c", program, str(seconds), str(status)]
        begins = (tmp_path / "begun").exists
        return Command(arguments=arguments, folder=tmp_path, environment=dict(os.environ), begins=begins)

    return of


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_kill_ends_the_process_and_what_it_has_started(command, tmp_path):
    assert command(60).for_seconds(0.1)
    assert not (tmp_path / "ended").exists()
    assert not is_running(int((tmp_path / "child").read_text()))


def test_a_process_that_ended_before_was_not_killed(command, tmp_path):
    assert not command(0).until(lambda: False)
    assert (tmp_path / "ended").exists()


def test_a_failure_is_told(command, tmp_path):
    command(0).to_its_end()
    assert (tmp_path / "ended").exists()
    (tmp_path / "ended").unlink()
    with pytest.raises(RuntimeError, match="failed"):
        command(0, status=3).to_its_end()


def test_moments_are_in_every_part_and_seeded():
    drawn = moments(20, longest=10.0, seed=3)
    assert [int(moment / 0.5) for moment in drawn] == list(range(20))
    assert drawn == moments(20, longest=10.0, seed=3) != moments(20, longest=10.0, seed=4)
