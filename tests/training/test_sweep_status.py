"""How far a sweep is, from folders that hold what its jobs leave."""

import os
import re
import shutil
import time

import pytest
from omegaconf import OmegaConf

from ser.cli.sweep import sweep
from ser.errors import CheckpointError, SettingsError
from ser.training.launcher import folder_lock
from ser.training.outcome import PRUNED, write_outcome
from ser.training.sweep_status import format_status, sweep_status
from tests.command_line import is_one_sentence, run_in_process


@pytest.fixture
def folder(tmp_path):
    """The folder of a sweep over five learning rates, none of which has begun."""
    return begin(tmp_path, {"params": {"model.lr": "1,2,3,4,5"}}, "seed=7")


def begin(folder, sweeper, *overrides, subdir="${hydra.job.num}"):
    values = {
        "optimized_metric": "val/uar",
        "callbacks": {"checkpoint": {"monitor": "val/loss", "mode": "min"}},
        "hydra": {"sweeper": sweeper, "overrides": {"task": list(overrides)}, "sweep": {"subdir": subdir}},
    }
    (folder / "multirun.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(values)))
    return folder


def finish(folder, name, value=None, error=None):
    write_outcome(folder / name, overrides=["seed=7", f"model.lr={name}"], metric="val/uar", value=value, error=error)


def rows(folder):
    lines = format_status(sweep_status(folder)).splitlines()
    return [re.sub(r" \d+ s ago", " just now", " ".join(line.split())) for line in lines]


def test_each_state_is_told_from_the_folders(folder):
    finish(folder, "0", 0.5)
    finish(folder, "1", 0.75)
    finish(folder, "2", error="data.root is 'x', which is no folder." + 60 * " Mend it.")
    (folder / "3").mkdir()
    (folder / "3" / "output.log").touch()
    os.utime(folder / "3" / "output.log", (time.time() - 7250,) * 2)
    found = rows(folder)
    assert found[0] == "5 jobs: 2 finished, 1 failed, 1 interrupted, 1 missing"
    assert found[1].startswith("interrupted: begun, not ended, and no process holds the lock")
    assert found[2] == "job state val/uar last write overrides or error"
    assert found[3:5] == [
        "0 finished 0.5000 just now seed=7 model.lr=0",
        "1 finished 0.7500 just now seed=7 model.lr=1",
    ]
    assert found[5].startswith("2 failed - just now data.root is 'x', which is no folder.")
    assert found[6:8] == ["3 interrupted - 2 h ago model.lr=4 seed=7", "4 missing - - model.lr=5 seed=7"]
    assert found[8] == "Best so far: 1, val/uar 0.7500: seed=7 model.lr=1"
    assert sweep_status(folder).exit_status == 1


def test_a_job_whose_folder_is_held_runs_whatever_an_attempt_before_has_left(folder):
    for name in "0123":
        finish(folder, name, 0.5)
    finish(folder, "4", error="no luck")
    with folder_lock(folder / "4"):
        status = sweep_status(folder)
        assert status.counts == {"finished": 4, "running": 1}
        assert status.exit_status == 3
        assert "running: a process holds the lock" in format_status(status)
    assert sweep_status(folder).counts == {"finished": 4, "failed": 1}
    finish(folder, "4", 0.1)
    assert sweep_status(folder).exit_status == 0


def test_a_search_lacks_trials_of_which_only_the_number_is_known(tmp_path):
    folder = begin(tmp_path, {"n_trials": 5, "params": {"model.lr": "interval(1,2)"}})
    finish(folder, "0", 0.5)
    finish(folder, "1", 0.9)
    (folder / "1" / PRUNED).touch()
    (folder / "2").mkdir()
    (folder / "2" / "output.log").touch()
    status = sweep_status(folder)
    assert status.counts == {"finished": 1, "pruned": 1, "interrupted": 1, "missing": 2}
    assert status.best.name == "0"
    assert rows(folder)[0] == "5 jobs: 1 finished, 1 pruned, 1 interrupted, 2 missing"


def test_jobs_in_folders_of_other_names_are_counted(tmp_path):
    folder = begin(tmp_path, {}, "model.lr=1,2", subdir="lr_${model.lr}")
    finish(folder, "lr_1", 0.5)
    assert sweep_status(folder).counts == {"finished": 1, "missing": 1}


def test_less_is_better_of_a_loss(folder):
    for name, value in (("0", 0.5), ("1", 0.25)):
        finish(folder, name, value)
    saved = OmegaConf.load(folder / "multirun.yaml")
    saved.optimized_metric = "val/loss"
    OmegaConf.save(saved, folder / "multirun.yaml")
    assert sweep_status(folder).best.value == 0.25


def test_a_cross_validation_has_its_folds_and_seeds(scored_cross_validation, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(scored_cross_validation, folder)
    runs = sorted(path.name for path in folder.glob("fold_*"))
    status = sweep_status(folder)
    assert [job.name for job in status.jobs] == runs
    shutil.rmtree(folder / runs[0])
    finish(folder, runs[1], 0.5)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").touch()
    states = {job.name: job.state for job in sweep_status(folder).jobs}
    assert list(states) == runs
    assert (states[runs[0]], states[runs[1]]) == ("missing", "finished")


def test_other_folders_and_tasks_are_refused_in_one_sentence(folder, tmp_path):
    with pytest.raises(CheckpointError, match="is no folder of a sweep or a cross-validation"):
        sweep_status(tmp_path / "nothing")
    with pytest.raises(SettingsError, match=r"'state' is no task of ser sweep; write `ser sweep status "):
        sweep("state", folder)


def test_the_command_prints_it_and_ends_with_the_exit_status(folder):
    finish(folder, "0", 0.5)
    done = run_in_process("-m", "ser", "sweep", "status", str(folder), folder=folder)
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "5 jobs: 1 finished, 4 missing")
    done = run_in_process("-m", "ser", "sweep", "status", str(folder / "0"), folder=folder)
    assert is_one_sentence(done.stderr, "0 is no folder of a sweep")
