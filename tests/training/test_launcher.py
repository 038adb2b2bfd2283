"""The launcher, with jobs that are small modules of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ser.errors import SerError
from ser.training.launcher import Job, folder_lock, quoted, run_jobs
from tests.command_line import ROOT


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Return a job of the body of a `main` in a module of its own; `folder` is the job's folder."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name, *lines):
        folder = tmp_path / "jobs" / name
        body = "\n    ".join(["import json, os, pathlib, time", f"folder = pathlib.Path({str(folder)!r})", *lines])
        (tmp_path / f"module_{name}.py").write_text(f"def main(arguments):\n    {body}\n")
        return Job(folder=folder, module=f"module_{name}", arguments=("one", "two"), configuration={})

    return make


def run(*jobs, at_once=2):
    run_jobs(jobs, at_once=at_once, folder=jobs[0].folder.parent, resume="<the same again>")


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


def test_each_job_has_its_arguments_one_thread_and_its_output(job):
    good = job("good", "print(arguments, os.environ['OMP_NUM_THREADS'])")
    run(good)
    run(good)
    assert (good.folder / "output.log").read_text() == "['one', 'two'] 1\n" * 2


def test_a_job_has_a_command_line_of_its_own_by_which_lightning_starts_its_further_devices(job):
    train = job("train", "import sys", "print(sys.modules['__main__'].__spec__.name, *sys.argv[1:])")
    run(train)
    assert (train.folder / "output.log").read_text() == "ser.__main__ module-train one two\n"


def test_a_failed_job_leaves_no_process_behind(job):
    lines = ("import subprocess", "(folder / 'pid').write_text(str(subprocess.Popen(['sleep', '600']).pid))", "1 / 0")
    bad = job("bad", *lines)
    with pytest.raises(SerError, match="1 of 1 jobs failed"):
        run(bad)
    wait_until(lambda: not is_running(int((bad.folder / "pid").read_text())))


def test_a_failed_job_is_listed_and_the_others_go_on(job, caplog):
    outcome = json.dumps({"overrides": [], "metric": "val/loss", "value": 0.5})
    jobs = [job("bad", "raise SystemExit('no luck')"), job("good", f"(folder / 'job.json').write_text({outcome!r})")]
    jobs[0] = replace(jobs[0], overrides=("lr=1",), configuration={"optimized_metric": "val/uar"})
    with caplog.at_level("INFO"), pytest.raises(SerError) as caught:
        run(*jobs, at_once=1)
    assert str(caught.value).startswith("1 of 2 jobs failed (bad); see output.log in their folders in ")
    assert str(caught.value).endswith("continue with: <the same again>")
    assert "[1/2] bad: failed (exit status 1): no luck; " in caplog.text
    assert "[2/2] good: val/loss 0.5000; " in caplog.text
    left = json.loads((jobs[0].folder / "job.json").read_text())
    assert left == {"overrides": ["lr=1"], "metric": "val/uar", "value": None, "error": "no luck", "settings": None}


def test_a_job_that_dies_is_listed_and_tried_once_more_after_the_others(job, caplog):
    attempt = "with (folder / 'attempts').open('a') as file: file.write('x')"
    once = job("once", attempt, "if (folder / 'attempts').read_text() == 'x': os.kill(os.getpid(), 9)")
    always = job("always", attempt, "os.kill(os.getpid(), 9)")
    other = job("other", f"assert not pathlib.Path({str(once.folder)!r}, 'attempts').read_text() == 'xx'")
    with caplog.at_level("INFO"), pytest.raises(SerError, match=r"1 of 3 jobs failed \(always\)"):
        run(once, always, other, at_once=1)
    assert "once died (signal 9); it is tried once more" in caplog.text
    assert json.loads((always.folder / "job.json").read_text())["error"] == "killed by signal 9"
    assert (once.folder / "attempts").read_text() == (always.folder / "attempts").read_text() == "xx"


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_than_asked_run_at_a_time(at_once, job, tmp_path):
    lines = (
        f"signs = pathlib.Path({str(tmp_path)!r})", "(signs / f'{folder.name}.begun').touch()",
        f"while len(list(signs.glob('*.begun'))) < {at_once}: time.sleep(0.02)", "time.sleep(0.2)",
        "print(len(list(signs.glob('*.begun'))) - len(list(signs.glob('*.ended'))))",
        "(signs / f'{folder.name}.ended').touch()",
    )  # fmt: skip
    jobs = [job(f"job{number}", *lines) for number in range(3)]
    run(*jobs, at_once=at_once)
    assert max(int((job.folder / "output.log").read_text()) for job in jobs) == at_once


PARENT = """
import sys
from pathlib import Path
from ser.training.launcher import Job, folder_lock, run_jobs

folder = Path(sys.argv[1])
jobs = [Job(folder=folder / name, module=f"module_{name}", arguments=(), configuration={}) for name in ("a", "b")]
with folder_lock(folder):
    run_jobs(jobs, at_once=2, folder=folder, resume="<the same again>")
"""


def heed_signals():
    """Undo what `&` (SIGINT) and nohup (SIGHUP) make of a test run, as children inherit it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def parent(job, tmp_path):
    """A process that runs two endless jobs, and the numbers of the two."""
    folder = tmp_path / "jobs"
    for name in ("a", "b"):
        job(name, "print(os.getpid(), flush=True)", "time.sleep(600)")
    command, variables = [sys.executable, "-c", PARENT, str(folder)], {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    process = subprocess.Popen(
        command, env=os.environ | variables, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals
    )
    outputs = [folder / name / "output.log" for name in ("a", "b")]
    wait_until(lambda: all(path.is_file() and path.read_text().endswith("\n") for path in outputs))
    children = [int(path.read_text()) for path in outputs]
    yield process, children
    for pid in (process.pid, *children):
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_job_outlives_its_parent_and_the_folder_is_free_then(number, parent, tmp_path):
    process, children = parent
    with pytest.raises(SerError, match="jobs is in use"), folder_lock(tmp_path / "jobs"):
        pass
    process.send_signal(number)
    printed = process.communicate(timeout=30)[1]
    assert process.returncode != 0
    assert ("Interrupted; continue with: <the same again>" in printed) == (number in (signal.SIGINT, signal.SIGTERM))
    assert process.returncode == {signal.SIGTERM: 143}.get(number, process.returncode)
    wait_until(lambda: not any(map(is_running, children)))
    with folder_lock(tmp_path / "jobs"):
        pass


@pytest.mark.parametrize(("value", "result"), [(0.5, "val/loss 0.5000"), (None, "done")])
def test_progress_shows_the_metric_of_a_job(value, result, job, caplog):
    outcome = json.dumps({"overrides": [], "metric": "val/loss", "value": value})
    with caplog.at_level("INFO"):
        run(job("good", f"(folder / 'job.json').write_text({outcome!r})"))
    assert f"[1/1] good: {result}; " in caplog.text


def test_a_path_is_quoted_for_hydra():
    path = "a 'b'=\\c, {d}"
    (override,) = OverridesParser.create().parse_overrides([f"data.root={quoted(Path(path))}"])
    assert override.value() == path
