"""Sweeps of real trainings, as their users type them: a search by Optuna, and jobs of two devices."""

import json

import pandas as pd
import pytest


@pytest.fixture
def overrides(tiny, tiny_voices):
    return "experiment=debug", *tiny, *tiny_voices


def test_a_search_of_three_trainings(command, overrides, folder):
    done = command(
        "-m", "ser", "tune", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2", "hydra/launcher=processes",
        *overrides, "data.augment_count=0",
        f"hydra.sweep.dir='{folder}/the search'",
    )  # fmt: skip
    table = pd.read_csv(folder / "the search" / "sweep.csv")
    assert list(table.columns[:4]) == ["job", "model.lr", "data.batch_size", "val/uar"]
    assert list(table.status) == 3 * ["done"]
    assert table["val/uar"].is_monotonic_decreasing
    assert f"Best of 3 trials: job {table.job[0]}, val/uar {table['val/uar'][0]:.4f}: model.lr=" in done.stdout
    (advice,) = (line for line in done.stdout.splitlines() if line.startswith("Train it by: ser train "))
    assert {"experiment=debug", "data.augment_count=0"} < set(advice.split())
    assert f"model.lr={table['model.lr'][0]} data.batch_size={table['data.batch_size'][0]}" in advice
    state = command("-m", "ser", "sweep", "status", f"{folder}/the search").stdout
    assert state.startswith("3 jobs: 3 finished\n")
    for job in "012":
        assert (folder / "the search" / job / "checkpoints" / "best.ckpt").is_file()
        assert not (folder / "the search" / job / "test").exists(), "the test part chooses nothing"


RANKS = """
from pathlib import Path
from lightning import Callback

class Ranks(Callback):
    def on_train_end(self, trainer, pl_module):
        Path(trainer.default_root_dir, f"rank {trainer.global_rank} of {trainer.world_size}").touch()
"""


def test_a_job_of_two_devices_has_a_process_for_each(process, overrides, folder):
    (folder / "ranks.py").write_text(RANKS)
    process(
        "train.py", "-m", "hydra/launcher=processes", *overrides, "trainer=ddp_sim", "seed=1",
        "+callbacks.ranks._target_=ranks.Ranks", f"hydra.sweep.dir='{folder}/two devices'",
    )  # fmt: skip
    job = folder / "two devices" / "0"
    assert json.loads((job / "job.json").read_text())["settings"]["trainer"]["devices"] == 2
    assert sorted(path.name for path in job.glob("rank *")) == ["rank 0 of 2", "rank 1 of 2"]
    assert (job / "output.log").read_text().count("Everything of this run is in") == 1
    assert [path.name for path in job.parent.glob("*/")] == ["0"], "the second process trains, it starts no sweep"


def test_a_job_of_two_devices_in_the_process_of_the_sweep_is_refused(command, overrides, folder):
    done = command("train.py", "-m", *overrides, "trainer=ddp_sim,cpu", f"hydra.sweep.dir='{folder}/refused'", status=1)
    table = pd.read_csv(folder / "refused" / "sweep.csv")
    assert list(table.status) == ["done", "failed"]
    assert table.error[1].startswith("trainer.devices is 2: in a sweep, several devices need a process for each job")
    assert "1 of 2 jobs failed (0)" in done.stderr
