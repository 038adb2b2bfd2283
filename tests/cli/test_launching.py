"""Sweeps that are repeated, jobs that died, and the jobs of a cross-validation by a launcher."""

import importlib
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.plugins import Plugins
from hydra.types import RunMode

from ser.cli import launching
from ser.cli.hydra_command import hydra_command
from ser.errors import SerError
from ser.training.configuration import plain, write_configuration
from ser.training.launcher import Job, deaths_in_one_sentence
from ser.training.outcome import settings_of, write_outcome
from tests.command_line import is_one_sentence, run_in_process


@pytest.fixture
def command(tmp_path):
    """Sweep a task that trains nothing; return what came of it, and the learning rates that ran."""

    def run(*arguments, task=None):
        ran = []

        def quick(configuration):
            ran.append(configuration.model.lr)
            if task is not None:
                task(configuration)
            write_configuration(Path(configuration.paths.run_dir), plain(configuration))
            return configuration.model.lr

        given = ("-m", "hydra.sweep.dir=s", *arguments)
        done = run_in_process(*given, folder=tmp_path, main=lambda words: hydra_command(quick, "train", words))
        return done, ran

    return run


def test_a_repeated_sweep_runs_what_is_missing_failed_or_has_other_settings(command, tmp_path):
    def fail(configuration):
        if configuration.model.lr == 2:
            raise SerError("too fast")

    done, ran = command("model.lr=1,2,3", task=fail)
    assert (done.returncode, ran) == (1, [1, 2, 3])
    done, ran = command("model.lr=1,2,3")
    assert (done.returncode, ran) == (0, [2])
    table = (tmp_path / "s" / "sweep.csv").read_text()
    done, ran = command("model.lr=1,2,3")
    assert ran == []
    assert (tmp_path / "s" / "sweep.csv").read_text() == table
    assert command("model.lr=1,2,3", "seed=7")[1] == [1, 2, 3]


def test_a_job_that_begins_anew_leaves_no_outcome_of_before(command, tmp_path):
    def die(configuration):
        raise KeyboardInterrupt

    command("model.lr=1")
    assert command("model.lr=2", task=die)[0].returncode == 130
    assert not (tmp_path / "s" / "0" / "job.json").exists()


def test_a_death_in_a_pool_is_one_sentence_that_says_how_to_go_on(command, tmp_path, monkeypatch):
    def broken(self, job_overrides, initial_job_idx):
        raise BrokenProcessPool

    known = Plugins.instance().class_name_to_class  # its search makes the classes of our modules anew
    name = "hydra_plugins.ser_processes"
    for launcher in (known[f"{name}.ProcessLauncher"], importlib.import_module(name).ProcessLauncher):
        monkeypatch.setattr(launcher, "launch", broken)
    done, _ = command("hydra/launcher=processes", "model.lr=1")
    assert is_one_sentence(done.stderr, "A job of joblib's pool was killed")
    assert "run the jobs that are missing by the same command with hydra.sweep.dir='s'" in done.stderr


class UncompletedJobError(RuntimeError):
    """As submitit calls it."""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (BrokenProcessPool(), "joblib's pool was killed.* by <resume>"),
        (UncompletedJobError(), "submitit ended .* by <resume>"),
    ],
)
def test_what_launchers_say_of_a_death_is_one_sentence(error, sentence):
    with pytest.raises(SerError, match=sentence), deaths_in_one_sentence("<resume>"):
        raise error
    with pytest.raises(ZeroDivisionError), deaths_in_one_sentence("<resume>"):
        raise ZeroDivisionError


@pytest.fixture
def jobs(tmp_path):
    return [
        Job(folder=tmp_path / name, module="ser.cli.train", arguments=(f"ckpt_path={name}",), configuration={"x": name})
        for name in "abc"
    ]


def finish(job):
    write_outcome(job.folder, overrides=[], metric=None, settings=settings_of(job.configuration))


class Launcher:
    """Finishes the jobs that it is given, but for `failing`."""

    def __init__(self, jobs, failing=()):
        self.jobs, self.failing, self.launched = {job.folder.name: job for job in jobs}, failing, []

    def launch(self, job_overrides, initial_job_idx):
        self.launched += job_overrides
        for _, place in job_overrides:
            name = place.partition("=")[2].strip("'")
            if name in self.failing:
                write_outcome(self.jobs[name].folder, overrides=[], metric=None, error="no luck.")
            else:
                finish(self.jobs[name])


@pytest.fixture
def by(monkeypatch, tmp_path):
    """Run jobs as a command does that names a launcher."""

    def run(jobs, launcher, choice="other", mode=RunMode.RUN):
        hydra = SimpleNamespace(mode=mode, runtime=SimpleNamespace(choices={"hydra/launcher": choice}))
        monkeypatch.setattr(launching, "HydraConfig", SimpleNamespace(get=lambda: hydra))
        monkeypatch.setattr(launching, "_launcher", lambda folder: launcher)
        launching.run_by_launcher(jobs, at_once=3, folder=tmp_path, resume="<resume>")

    return run


def test_a_launcher_is_given_the_unfinished_jobs_of_a_cross_validation(jobs, by):
    finish(jobs[1])
    launcher = Launcher(jobs)
    by(jobs, launcher)
    assert launcher.launched == [["ckpt_path=a", "hydra.sweep.subdir='a'"], ["ckpt_path=c", "hydra.sweep.subdir='c'"]]
    by(jobs, launcher)
    assert len(launcher.launched) == 2, "there is nothing left to do"


def test_a_launcher_of_ours_is_given_the_jobs_themselves(jobs, by, tmp_path):
    seen = []
    by(jobs, SimpleNamespace(run=lambda jobs, folder, resume: seen.append((jobs, folder, resume))))
    assert seen == [(jobs, tmp_path, "<resume>")]


def test_jobs_that_failed_by_a_launcher_are_one_error(jobs, by):
    with pytest.raises(SerError, match=r"2 of 3 jobs failed \(a, c\), the first by: no luck; continue with: <resume>"):
        by(jobs, Launcher(jobs, failing=("a", "c")))


@pytest.mark.parametrize(("choice", "mode"), [("basic", RunMode.RUN), ("joblib", RunMode.MULTIRUN)])
def test_without_a_launcher_and_inside_a_sweep_they_are_processes(choice, mode, jobs, by, monkeypatch):
    seen = []
    monkeypatch.setattr(launching, "run_jobs", lambda jobs, **settings: seen.append(settings["at_once"]))
    by(jobs, None, choice=choice, mode=mode)
    assert seen == [3]
