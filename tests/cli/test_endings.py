"""How commands end where standard output is full, closed, unread or of few characters, and by signals: no traceback."""

import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest

from tests.command_line import ROOT, is_one_sentence, users_environment

PROGRAM = "import sys, time, ser.cli.command as c; sys.exit(c.exit_status(lambda: exec(sys.argv[1]) or 0))"


def begin(code, **options):
    """Start a process that runs `code` as commands are run."""
    environment = users_environment() | options.pop("environment", {})
    return subprocess.Popen([sys.executable, "-c", PROGRAM, code], cwd=ROOT, env=environment, text=True, **options)


def ended(code, **options):
    """Return the exit status of such a process, and what it wrote to standard error."""
    with begin(code, stderr=subprocess.PIPE, **options) as process:
        _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def buffering(request):
    return {"environment": {"PYTHONUNBUFFERED": request.param}}


@pytest.mark.parametrize("count", [1, 1_000_000])  # what a buffer holds; more
def test_a_full_disk_behind_standard_output_is_one_sentence(buffering, count):
    with Path("/dev/full").open("w") as full:
        status, said = ended(f"print('x' * {count})", stdout=full, **buffering)
    assert status == 1
    assert is_one_sentence(said, "No space left on device")
    if count == 1:
        assert said == "error: standard output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("count", [1, 1_000_000])
def test_nothing_is_said_where_nobody_reads_on(buffering, count):
    read, write = os.pipe()
    os.close(read)  # as `| head` has
    try:
        assert ended(f"print('x' * {count})", stdout=write, **buffering) == (141, "")
    finally:
        os.close(write)


def test_an_error_stays_one_where_standard_output_is_whole():
    assert ended("raise OSError(28, 'No space left on device', 'a.csv')", stdout=subprocess.DEVNULL) == (
        1,
        "error: [Errno 28] No space left on device: 'a.csv'\n",
    )


def test_closed_streams_end_no_command():
    script = f'{sys.executable} -c "{PROGRAM}" "$0"'
    for closed, code, status in ((">&-", "print(1)", 0), ("2>&-", "raise OSError(1, 'x')", 1)):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{script} {closed}", code],
            cwd=ROOT,
            env=users_environment(),
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-8:surrogateescape", "cp1252"])
def test_any_name_is_printed_as_json_has_it(encoding):
    names = ["ü", "日本", "😀", os.fsdecode(b"\xff.wav")]
    code = f"import json; print(json.dumps({names!r}, ensure_ascii=False))"
    with begin(
        code, stdout=subprocess.PIPE, environment={"PYTHONIOENCODING": encoding}, encoding=encoding.partition(":")[0]
    ) as one:
        printed, _ = one.communicate(timeout=60)
    assert one.returncode == 0
    assert json.loads(printed) == names


def lives(*, group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("number", "status", "said"), [(SIGINT, 130, "interrupted\n"), (SIGTERM, 143, "")])
def test_a_signal_ends_a_command_and_its_workers_quietly(tmp_path, number, status, said):
    code = (
        "import os\nfrom pathlib import Path\nfrom ser.data.workers import map_in_workers\n"
        "for n in map_in_workers(time.sleep, [0.02] * 10_000, workers=2):\n"
        f"    Path({str(tmp_path / 'begun')!r}).touch()"
    )
    with begin(code, stderr=subprocess.PIPE, start_new_session=True) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        _, printed = process.communicate(timeout=60)
    assert (process.returncode, printed) == (status, said)
    while lives(group=process.pid):
        time.sleep(0.01)


@pytest.mark.parametrize("script", ["ser/__main__.py", "train.py"])
def test_ctrl_c_while_a_command_is_imported_is_no_traceback(monkeypatch, capsys, script):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    with pytest.raises(SystemExit, match="130"):
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert capsys.readouterr().err == "interrupted\n"
