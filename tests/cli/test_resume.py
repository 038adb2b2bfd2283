"""A run that was stopped and resumed ends with the same weights, bit by bit, as one that never stopped.

Here it is stopped by an exception, in this process; tests/slow/test_killed.py sends SIGKILL to a process of its own.
"""

import shutil
import signal
from pathlib import Path

import pytest
import torch

from ser.inference.checkpoint import read_checkpoint, save_atomically
from ser.training.callbacks import AtomicCheckpointIO
from tests.command_line import start
from tests.resuming import EPOCHS, RECIPES, differences

pytestmark = [pytest.mark.usefixtures("undrawn"), pytest.mark.no_cover]  # whole runs, slow to draw and to trace


class Killed(BaseException):
    """What no handler takes for an error: the run ends where it is."""


@pytest.fixture(scope="module")
def unbroken(folder, train):
    """Return the folder of a run of a recipe that never stopped."""

    def of(recipe: str) -> Path:
        run_dir = folder / f"unbroken-{recipe}"
        if not run_dir.exists():
            train(*RECIPES[recipe], f"hydra.run.dir={run_dir}")
        return run_dir

    return of


def test_the_schedules_step_and_the_averages_differ_in_these_runs(unbroken):
    """Else a lost step of a schedule, or lost averages, would go unnoticed."""
    plateau, cycle = (
        read_checkpoint(unbroken(recipe) / "checkpoints" / "last.ckpt") for recipe in ("plateau", "logmel_resbilstm")
    )
    assert len({row["lr"] for row in plateau["history"]}) > 1
    assert len({row["lr"] for row in cycle["history"]}) == EPOCHS
    ema, online = cycle["state_dict"], cycle["current_model_state"]
    assert any(not torch.equal(ema[name], online[name]) for name in ema)


@pytest.mark.parametrize(("recipe", "epoch"), [("plateau", 0), ("plateau", 2), ("logmel_resbilstm", 1), ("voices", 1)])
def test_a_stopped_run_ends_with_the_same_weights(recipe, epoch, folder, train, command, unbroken, monkeypatch):
    run_dir = folder / f"stopped-{recipe}-{epoch}"
    save = AtomicCheckpointIO.save_checkpoint

    def save_and_end(self: AtomicCheckpointIO, checkpoint: dict, path: str, storage_options: object = None) -> None:
        save(self, checkpoint, path, storage_options)
        if Path(path).name == "last.ckpt" and checkpoint["epoch"] == epoch:
            raise Killed

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", save_and_end)
    with pytest.raises(Killed):
        train(*RECIPES[recipe], f"hydra.run.dir={run_dir}")
    monkeypatch.undo()
    assert read_checkpoint(run_dir / "checkpoints" / "last.ckpt")["epoch"] == epoch
    command("train.py", f"ckpt_path={run_dir}")
    assert differences(run_dir, unbroken(recipe)) == []


def test_the_smallest_difference_is_noticed(unbroken, tmp_path):
    other = shutil.copytree(unbroken("plateau"), tmp_path / "other")
    assert differences(other, unbroken("plateau")) == []
    content = read_checkpoint(other / "checkpoints" / "last.ckpt")
    weights = next(one for one in content["state_dict"].values() if one.is_floating_point() and one.ndim).view(-1)
    weights[0] = torch.nextafter(weights[0], torch.tensor(torch.inf))
    save_atomically(content, other / "checkpoints" / "last.ckpt")
    (other / "metrics.json").write_bytes(b"")
    assert differences(other, unbroken("plateau")) == ["last.ckpt: state_dict", "metrics.json"]


def test_a_finished_run_resumed_with_more_epochs_goes_on(folder, train, command, unbroken):
    run_dir = folder / "short"
    train(*RECIPES["plateau"], "trainer.max_epochs=3", f"hydra.run.dir={run_dir}")
    command("train.py", f"ckpt_path={run_dir}", "trainer.max_epochs=6")
    assert differences(run_dir, unbroken("plateau")) == []


def test_a_run_that_stopped_early_trains_no_further(folder, train, command):
    run_dir = folder / "stopped"
    stops = ["callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=100"]
    train(*RECIPES["plateau"], *stops, f"hydra.run.dir={run_dir}")
    before = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    command("train.py", f"ckpt_path={run_dir}")
    after = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    assert after["epoch"] == before["epoch"] == 1


def test_other_settings_are_refused_on_resume(command, unbroken):
    done = command("train.py", f"ckpt_path={unbroken('plateau')}", "model.lr=0.1", status=1)
    assert done.stderr == "error: model.lr cannot be changed in a resumed run; leave it out, or start a new run.\n"
    assert (unbroken("plateau") / "checkpoints" / "last.ckpt").is_file()


def test_resuming_nothing_says_so(folder, command):
    done = command("train.py", "ckpt_path=no/such/run", status=1)
    assert done.stderr.startswith("error: ckpt_path is no/such/run, which is no run")
    assert not (folder / "no").exists()


def test_ctrl_c_says_how_to_go_on(folder, below, unbroken):
    unbroken("plateau")  # the features are there
    run_dir = folder / "interrupted"
    endless = (*RECIPES["plateau"], "trainer.max_epochs=1000", f"hydra.run.dir={run_dir}")
    process = start("train.py", *endless, *below, folder=folder)
    for line in process.stdout:
        if line.startswith("Epoch 2:"):  # by now the checkpoint of epoch 1 is there
            break
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode not in (0, None)
    assert f"go on with: ser train ckpt_path={run_dir}" in said
    assert "Traceback" not in said
    assert read_checkpoint(run_dir / "checkpoints" / "last.ckpt")["epoch"] >= 1
