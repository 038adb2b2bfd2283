"""Sweeps and cross-validations by every launcher: the same table, what is missing when repeated, one preparation."""

import os
import re
import subprocess
import sys

import pandas as pd
import pytest

from tests.command_line import ROOT, users_environment

PLUGINS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "ray": "ray",
}
"""Launcher -> the module that it needs, which may not be installed."""
OF_TWO = {
    "basic": (),
    "processes": ("hydra.launcher.jobs=2",),
    "joblib": ("hydra.launcher.n_jobs=2",),
    "submitit_local": ("hydra.launcher.timeout_min=10",),
    "ray": ("hydra.launcher.jobs=2",),
}
"""Launcher -> what has it run two jobs at a time, where it can."""
COMMAND = """
import os
import signal
import time
from functools import partial
from pathlib import Path
from ser.cli.hydra_command import hydra_command
from ser.errors import SerError
from ser.training.configuration import plain, write_configuration

HERE = Path(__file__).parent

def task(configuration):
    lr, folder = configuration.model.lr, Path(configuration.paths.run_dir)
    with (HERE / "ran").open("a") as file:
        file.write(f"{lr}\\n")
    if lr == 5 and not (HERE / "mended").exists():
        raise SerError("too fast")
    if lr == 6 and not (HERE / "mended").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    write_configuration(folder, plain(configuration))
    return lr

main = partial(hydra_command, task, "train")
"""


def needs(launcher):
    if launcher in PLUGINS:
        pytest.importorskip(PLUGINS[launcher], reason=f"hydra/launcher={launcher} needs a package of its own")


@pytest.fixture
def sweep(tmp_path):
    """Sweep a task that trains nothing over learning rates, and return what it printed and which ran."""
    (tmp_path / "quick.py").write_text(COMMAND)
    variables = users_environment() | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}

    def run(launcher, rates, *, status):
        arguments = [
            "-m", f"hydra/launcher={launcher}", *OF_TWO[launcher], f"model.lr={rates}",
            f"hydra.sweep.dir={tmp_path}/sweep",
        ]  # fmt: skip
        command = [sys.executable, "-c", "import quick, sys; sys.exit(quick.main(sys.argv[1:]))", *arguments]
        (tmp_path / "ran").unlink(missing_ok=True)
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        ran = (tmp_path / "ran").read_text().split() if (tmp_path / "ran").exists() else []
        return done, sorted(map(float, ran))

    return run


@pytest.mark.parametrize("launcher", OF_TWO)
def test_a_repeated_sweep_runs_what_failed_by_every_launcher(launcher, sweep, tmp_path):
    needs(launcher)
    done, ran = sweep(launcher, "1,5,2", status=1)
    assert ran == [1, 2, 5]
    assert done.stderr.splitlines()[-1].startswith("error: 1 of 3 jobs failed (1)")
    (tmp_path / "mended").touch()
    done, ran = sweep(launcher, "1,5,2", status=0)
    assert ran == [5]
    assert (tmp_path / "sweep" / "sweep.csv").read_text().splitlines() == [
        "job,model.lr,val/loss,status,error", "0,1,1.0,done,", "2,2,2.0,done,", "1,5,5.0,done,",
    ]  # fmt: skip


@pytest.mark.parametrize("launcher", ["processes", "joblib", "submitit_local", "ray"])
def test_a_job_that_was_killed_is_one_sentence_and_runs_when_the_sweep_is_repeated(launcher, sweep, tmp_path):
    needs(launcher)
    done, _ = sweep(launcher, "1,6,2", status=1)
    sentence = done.stderr.splitlines()[-1]
    if launcher in ("processes", "ray"):  # where the sweep goes on
        assert sentence.startswith("error: 1 of 3 jobs failed (1)")
        assert pd.read_csv(tmp_path / "sweep" / "sweep.csv").error[2] == "killed by signal 9"
    else:
        beginning = {"joblib": "A job of joblib's pool was killed", "submitit_local": "A job of submitit ended"}
        assert sentence.startswith(f"error: {beginning[launcher]}")
        assert f"the same command with hydra.sweep.dir='{tmp_path}/sweep'" in sentence
        assert "Traceback" not in done.stderr.splitlines()[-2:]
    (tmp_path / "mended").touch()
    left = {path.parent.name for path in (tmp_path / "sweep").glob("*/job.json")}
    done, ran = sweep(launcher, "1,6,2", status=0)
    assert 6 in ran
    assert len(ran) == (1 if launcher in ("processes", "ray") else 3 - len(left))
    assert list(pd.read_csv(tmp_path / "sweep" / "sweep.csv").status) == 3 * ["done"]


@pytest.fixture(scope="module")
def trainings(tiny, tiny_voices, shared):
    """Overrides of trainings on synthetic voices that end within seconds."""
    return "experiment=debug", "logger=none", *tiny, *tiny_voices, f"paths.data_dir={shared}/data"


def test_jobs_side_by_side_make_each_feature_once(process, trainings, folder):
    process(
        "train.py", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *trainings, "seed=1,2",
        f"hydra.sweep.dir={folder}/once", f"paths.cache_dir={folder}/once-cache",
    )  # fmt: skip
    logs = [(folder / "once" / job / "train.log").read_text() for job in "01"]
    counts = [re.findall(r"(\d+) samples, the features of (\d+) from the cache", log) for log in logs]
    made = sum(int(total) - int(found) for each in counts for total, found in each)
    assert all(counts)
    assert made == len(list((folder / "once-cache").rglob("*.features"))) > 0


@pytest.fixture(scope="module")
def cross_validate(process, trainings, folder, below):
    """Cross-validate by a launcher, and return the folder."""

    def run(launcher, *overrides):
        place = folder / f"by {launcher}"
        settings = () if launcher == "basic" else (f"hydra/launcher={launcher}", *OF_TWO[launcher])
        process(
            "cross_validate.py", *settings, *trainings, *below, "folds=[0]", "seeds=[1,2]", "bootstrap_resamples=2000",
            f"hydra.run.dir='{place}'", *overrides,
        )  # fmt: skip
        return place

    return run


@pytest.fixture(scope="module")
def by_processes(cross_validate):
    """The files of a cross-validation by the launcher that it takes by itself."""
    place = cross_validate("basic")
    return {name: (place / name).read_text() for name in ("predictions.csv", "results.md")}


@pytest.mark.parametrize("launcher", ["processes", "joblib", "submitit_local", "ray"])
def test_a_cross_validation_by_a_launcher_has_the_same_results(launcher, cross_validate, by_processes, process):
    needs(launcher)
    place = cross_validate(launcher)
    assert {name: (place / name).read_text() for name in by_processes} == by_processes
    assert process("-m", "ser", "sweep", "status", str(place)).stdout.startswith("2 jobs: 2 finished\n")


def test_the_benchmark_compares_the_tables():
    command = [sys.executable, "benchmarks/launchers.py", "--jobs=2", "--epochs=1", "--launchers", "joblib"]
    done = subprocess.run(command, cwd=ROOT, env=users_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 jobs, 2 at a time; all tables are equal." in done.stdout
    assert re.search(r"^\| joblib \| [\d.]+ \| [\d.]+ \|$", done.stdout, re.MULTILINE)
