"""The search by Optuna: with a launcher that only calculates, and once by its command."""

import itertools
import sys
from types import SimpleNamespace

import optuna
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hydra_plugins.ser_optuna import OptunaSweeper, _distribution
from ser.cli.hydra_command import hydra_command
from ser.data.files import waiting_lock
from ser.errors import SerError, SettingsError
from ser.training.study import PRUNED_AT, STUDY, open_journal
from tests.command_line import is_one_sentence, run_in_process

SPACE = {"model.lr": "tag(log,interval(1e-4,1))", "data.batch_size": "range(4,17,4)", "augment": "choice(none,light)"}


class Launcher:
    """Runs no job: the value of each is its learning rate, NaN (a failed one) where the batch size is in `failing`."""

    def __init__(self, failing=(), interrupted_at=None):
        self.jobs, self.batches, self.failing, self.interrupted_at = {}, [], failing, interrupted_at

    def launch(self, job_overrides, initial_job_idx):
        self.batches.append(len(job_overrides))
        returned = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            if number == self.interrupted_at:
                raise KeyboardInterrupt
            self.jobs[number] = dict(override.split("=") for override in overrides)
            failed = int(self.jobs[number]["data.batch_size"]) in self.failing
            job = JobReturn(status=JobStatus.COMPLETED)
            job.return_value = float("nan") if failed else float(self.jobs[number]["model.lr"])
            returned.append(job)
        return returned


@pytest.fixture
def search(tmp_path):
    """Search as the command would, and return the launcher and what `sweep` returned."""
    config = {"hydra": {"sweep": {"dir": str(tmp_path)}, "job": {"config_name": "tune"}}}
    numbers = itertools.count()

    def run(*arguments, launcher=None, metric="val/loss", params=SPACE, storage=None, **settings):
        storage = storage or str(tmp_path / f"{next(numbers)}.journal")
        sweeper = OptunaSweeper(params=dict(params), storage=storage, **settings)
        sweeper.config = OmegaConf.create({**config, "optimized_metric": metric})
        sweeper.hydra_context = SimpleNamespace(
            config_loader=SimpleNamespace(load_sweep_config=lambda master_config, sweep_overrides: None)
        )
        sweeper.launcher = launcher or Launcher()
        return sweeper.launcher, sweeper.sweep(list(arguments))

    return run


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ("choice(a,'b c',1)", r"CategoricalDistribution(choices=('a', 'b\\ c', '1'))"),
        ("4,8", "CategoricalDistribution(choices=('4', '8'))"),
        ("range(1,8,3)", "IntDistribution(high=7, log=False, low=1, step=3)"),
        ("range(5,1,-2)", "IntDistribution(high=5, log=False, low=3, step=2)"),
        ("range(0.5,2,0.5)", "FloatDistribution(high=1.5, log=False, low=0.5, step=0.5)"),
        ("interval(0,1)", "FloatDistribution(high=1.0, log=False, low=0.0, step=None)"),
        ("int(interval(2,9))", "IntDistribution(high=9, log=False, low=2, step=1)"),
        ("tag(log,interval(1e-5,0.1))", "FloatDistribution(high=0.1, log=True, low=1e-05, step=None)"),
        ("tag(log,int(interval(1,64)))", "IntDistribution(high=64, log=True, low=1, step=1)"),
    ],
)
def test_what_hydra_sweeps_is_what_optuna_draws_from(sweep, expected):
    (override,) = OverridesParser.create().parse_overrides([f"a={sweep}"])
    assert repr(_distribution(override)) == expected


def test_the_same_seed_gives_the_same_trials_and_the_best_is_found(search, capsys):
    (first, best), (again, _), (other, _) = (search(n_trials=12, seed=seed) for seed in (7, 7, 8))
    assert first.jobs == again.jobs
    assert first.jobs != other.jobs
    assert list(first.jobs) == list(range(12))
    rates = {number: float(job["model.lr"]) for number, job in first.jobs.items()}
    assert best["model.lr"] == min(rates.values())
    job = min(rates, key=rates.get)
    printed = capsys.readouterr().out.splitlines()[0]
    assert printed.startswith(f"Best of 12 trials: job {job}, val/loss {rates[job]:.4f}: model.lr={rates[job]} ")


def test_the_command_that_trains_the_best_is_printed_without_what_belongs_to_the_search(search, capsys):
    _, best = search("hparams_search=mine", "experiment=debug", "data.root=/x", "score_test=false", n_trials=2)
    values = " ".join(f"{key}={value}" for key, value in best.items())
    assert capsys.readouterr().out.splitlines()[1] == f"Train it by: ser train experiment=debug {values}"


def test_more_is_better_of_a_metric_that_is_no_loss(search):
    launcher, best = search(n_trials=5, metric="val/uar")
    assert best["model.lr"] == max(float(job["model.lr"]) for job in launcher.jobs.values())


def test_the_launcher_has_as_many_jobs_at_once_as_asked_for(search):
    assert search(n_trials=5, n_jobs=2)[0].batches == [2, 2, 1]


def test_a_value_on_the_command_line_replaces_a_range_and_others_are_handed_on(search):
    launcher, best = search("augment=none", "seed=3", "model.lr=interval(2,3)", n_trials=3)
    assert {(job["augment"], job["seed"]) for job in launcher.jobs.values()} == {("none", "3")}
    assert set(best) == {"model.lr", "data.batch_size"}
    assert 2 <= best["model.lr"] <= 3


def test_failed_jobs_count_but_are_never_the_best(search):
    launcher, best = search(n_trials=8, launcher=Launcher(failing=(4, 8)))
    assert len(launcher.jobs) == 8
    assert best["data.batch_size"] in (12, 16)
    assert search(n_trials=3, launcher=Launcher(failing=(4, 8, 12, 16)))[1] is None


def test_a_search_with_a_storage_goes_on(search, tmp_path):
    storage = str(tmp_path / "new" / "study.journal")
    first, _ = search(n_trials=3, storage=storage, launcher=Launcher(failing=(4, 8)))
    with pytest.raises(KeyboardInterrupt):
        search(n_trials=6, storage=storage, launcher=Launcher(interrupted_at=4))
    rest, best = search(n_trials=6, storage=storage)
    assert list(rest.jobs) == [5, 6], "0-2 ended, 3 was done before the interrupt, 4 was lost by it"
    drawn = [job["model.lr"] for job in (*first.jobs.values(), *rest.jobs.values())]
    assert len(set(drawn)) == 5, "a resumed search does not draw its first trials again"
    again, same = search(n_trials=6, storage=storage)
    assert (again.jobs, same) == ({}, best)
    with pytest.raises(SettingsError, match="holds a search over other ranges"):
        search("augment=none", n_trials=9, storage=storage)
    with pytest.raises(SettingsError, match="holds a search over other ranges"):
        search(n_trials=9, storage=storage, metric="val/uar")


def test_a_line_that_a_kill_cut_short_is_cut_off(search, tmp_path):
    storage = tmp_path / "study.journal"
    search(n_trials=3, storage=str(storage))
    with storage.open("a") as file:
        file.write('{"op_code":4,"worker')
    assert list(search(n_trials=5, storage=str(storage))[0].jobs) == [3, 4]


def test_a_trial_of_another_command_counts_as_long_as_that_one_is_there(search, tmp_path):
    storage = tmp_path / "study.journal"
    search(n_trials=2, storage=str(storage))
    study = optuna.load_study(study_name=STUDY, storage=open_journal(storage))
    study.ask().set_user_attr("command", 7)
    with waiting_lock(tmp_path / ".study.journal.7"):
        assert list(search(n_trials=4, storage=str(storage))[0].jobs) == [3]
    assert list(search(n_trials=4, storage=str(storage))[0].jobs) == [4], "2 was lost with its command"
    assert {one.name for one in tmp_path.glob(".study.journal.*")} == {".study.journal.7", ".study.journal.lock"}


def test_commands_at_work_on_one_study_draw_other_trials(search, tmp_path):
    storage, seen = tmp_path / "study.journal", []

    class Second(Launcher):
        def launch(self, job_overrides, initial_job_idx):
            if not seen:
                seen.append(search(n_trials=5, storage=str(storage))[0].jobs)
            return super().launch(job_overrides, initial_job_idx)

    first = search(n_trials=5, storage=str(storage), launcher=Second())[0].jobs
    assert (list(first), list(seen[0])) == ([0], [1, 2, 3, 4])
    assert len({job["model.lr"] for job in (*first.values(), *seen[0].values())}) == 5


def test_a_trial_that_was_ended_early_counts_and_is_never_the_best(search, tmp_path, capsys):
    storage = tmp_path / "study.journal"

    class Ending(Launcher):
        def launch(self, job_overrides, initial_job_idx):
            returned = super().launch(job_overrides, initial_job_idx)
            if initial_job_idx == 1:
                study = optuna.load_study(study_name=STUDY, storage=open_journal(storage))
                trial = optuna.trial.Trial(study, study.trials[1]._trial_id)
                trial.report(0.5, 3)
                trial.set_user_attr(PRUNED_AT, 3)
                returned[0].return_value = 0.0  # the best that there could be
            return returned

    launcher, best = search(n_trials=4, storage=str(storage), launcher=Ending())
    assert list(launcher.jobs) == [0, 1, 2, 3]
    assert best["model.lr"] != float(launcher.jobs[1]["model.lr"])
    assert capsys.readouterr().out.startswith("Best of 4 trials (1 ended early): job ")


def test_nothing_to_search_is_refused(search):
    with pytest.raises(SettingsError, match=r"hydra\.sweeper\.params is empty"):
        search("model.lr=1", params={})


def quick(configuration):
    """A task that trains nothing."""
    if configuration.data.batch_size > 8:
        raise SerError("too many")
    return abs(configuration.model.lr - 0.001)


@pytest.fixture
def command(tmp_path):
    return lambda *arguments: run_in_process(
        *arguments, folder=tmp_path, main=lambda given: hydra_command(quick, "tune", given)
    )


def test_a_search_by_its_command_has_the_best_in_the_first_row(command, tmp_path):
    settings = ("hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=4", "optimized_metric=val/loss")
    done = command(*settings, "hydra.sweep.dir=s")
    table = pd.read_csv(tmp_path / "s" / "sweep.csv")
    assert list(table.columns) == ["job", "model.lr", "data.batch_size", "data.augment_count", "val/loss", "status",
                                   "error"]  # fmt: skip
    assert list(table.job.sort_values()) == [0, 1, 2, 3]
    assert f"Best of 2 trials: job {table.job[0]}, val/loss {table['val/loss'][0]:.4f}: model.lr=" in done.stdout
    assert list(table.status) == ["done", "done", "failed", "failed"]
    assert done.returncode == 1


@pytest.mark.parametrize("setting", ["n_trials=0", "n_jobs=two"])
def test_wrong_numbers_are_one_sentence(setting, command):
    done = command(f"hydra.sweeper.{setting}")
    assert is_one_sentence(done.stderr, f"hydra.sweeper.{setting.partition('=')[0]} is "), done.stderr


def test_where_optuna_is_missing_one_sentence_says_what_to_install(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = command()
    sentence = 'ser tune needs optuna, which is not installed: pip install "ser[tune]".'
    assert is_one_sentence(done.stderr, sentence), done.stderr
