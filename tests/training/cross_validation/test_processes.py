import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from ser.errors import SerError
from ser.training.cross_validation.processes import Command, folder_lock, run_commands

ROOT = Path(__file__).parents[3]


def python(folder, name, code):
    return Command(name=name, arguments=(sys.executable, "-c", code), output=folder / name / "output.log")


def is_running(pid):
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_every_command_ends_with_its_status_and_output(tmp_path):
    commands = [
        python(tmp_path, "good", "import os; print(os.environ['SAID'])"),
        python(tmp_path, "bad", "raise SystemExit('no luck')"),
        python(tmp_path, "killed", "import os; os.kill(os.getpid(), 9)"),
    ]
    outcomes = {outcome.name: outcome.status for outcome in run_commands(commands, jobs=2, environment={"SAID": "yes"})}
    assert outcomes == {"good": 0, "bad": 1, "killed": -9}
    assert commands[0].output.read_text() == "yes\n"
    assert commands[1].output.read_text() == "no luck\n"


def test_output_is_added_to_what_is_there(tmp_path):
    command = python(tmp_path, "twice", "print('again')")
    for _ in range(2):
        list(run_commands([command], jobs=1, environment={}))
    assert command.output.read_text() == "again\nagain\n"


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_than_jobs_run_at_a_time(jobs, tmp_path):
    (tmp_path / "at work").mkdir()
    code = (
        "import os, pathlib, time; folder = pathlib.Path('at work'); mine = folder / str(os.getpid()); mine.touch();"
        "print(len(list(folder.iterdir()))); time.sleep(0.3); mine.unlink()"
    ).replace("'at work'", repr(str(tmp_path / "at work")))
    commands = [python(tmp_path, f"run{number}", code) for number in range(4)]
    assert len(list(run_commands(commands, jobs=jobs, environment={}))) == 4
    assert max(int(command.output.read_text()) for command in commands) == jobs


def test_closing_the_iterator_ends_what_runs_and_starts_no_more(tmp_path):
    note = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    commands = [python(tmp_path, "short", ""), python(tmp_path, "long", note), python(tmp_path, "never", note)]
    with closing(run_commands(commands, jobs=2, environment={})) as ended:
        assert next(ended).name == "short"
        wait_until(lambda: commands[1].output.read_text())
    assert not is_running(int(commands[1].output.read_text()))
    assert not commands[2].output.exists()


PARENT = """
import sys
from contextlib import closing
from pathlib import Path
from ser.training.cross_validation.processes import Command, ending_by_exception, folder_lock, run_commands

folder = Path(sys.argv[1])
code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
commands = [Command(name=n, arguments=(sys.executable, "-c", code), output=folder / n) for n in ("a", "b")]
with folder_lock(folder) as lock, ending_by_exception():
    with closing(run_commands(commands, jobs=2, environment={}, inherited=[lock])) as ended:
        list(ended)
"""


@pytest.fixture
def parent(tmp_path):
    """A process that runs two endless commands in `tmp_path`, and the numbers of the two."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        # A shell may start us with SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    outputs = [tmp_path / "a", tmp_path / "b"]
    wait_until(lambda: all(path.is_file() and path.read_text().endswith("\n") for path in outputs))
    children = [int(path.read_text()) for path in outputs]
    yield process, children
    for pid in (process.pid, *children):
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_parent_that_is_stopped_takes_its_children_along(number, parent):
    process, children = parent
    process.send_signal(number)
    assert process.wait(30) != 0
    assert not any(map(is_running, children))


def test_children_of_a_killed_parent_hold_the_folder(parent, tmp_path):
    process, children = parent
    process.kill()
    process.wait()
    with pytest.raises(SerError, match="is in use"), folder_lock(tmp_path):
        pass
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, children)))
    with folder_lock(tmp_path):
        pass


def test_a_folder_is_free_again_after_use(tmp_path):
    for _ in range(2):
        with folder_lock(tmp_path), pytest.raises(SerError, match=str(tmp_path)), folder_lock(tmp_path):
            pass
