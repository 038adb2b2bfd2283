"""A run that was killed and resumed ends with the same weights, bit by bit, as one that never stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ser.inference.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[2]


def command(*overrides: str) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *overrides]


@pytest.fixture(scope="module")
def settings(folder: Path) -> list[str]:
    # A patience of 0 and a high rate, so that ReduceLROnPlateau steps within the few epochs.
    return [
        "experiment=debug",
        "trainer.max_epochs=6",
        "trainer.accelerator=cpu",
        "model.lr=0.02",
        "model.scheduler.patience=0",
        "logger.tensorboard=false",
        f"paths.output_dir={folder}",
        f"paths.data_dir={folder}/data",
    ]


def run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def kill_after_epoch(arguments: list[str], run_dir: Path, epoch: int) -> None:
    """Start a run and send it SIGKILL once the checkpoint of `epoch` is there."""
    last = run_dir / "checkpoints" / "last.ckpt"
    process = subprocess.Popen(
        command(*arguments),
        cwd=run_dir.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 150
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if last.is_file() and read_checkpoint(last)["epoch"] >= epoch:
                break
            time.sleep(0.005)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert last.is_file(), "the run ended before its first checkpoint"


@pytest.fixture(scope="module")
def unbroken(folder: Path, settings: list[str]) -> Path:
    run_dir = folder / "unbroken"
    run([*settings, f"hydra.run.dir={run_dir}"], folder)
    return run_dir


def assert_same_end(resumed: Path, unbroken: Path) -> None:
    ours, theirs = (read_checkpoint(run_dir / "checkpoints" / "last.ckpt") for run_dir in (resumed, unbroken))
    assert ours["epoch"] == theirs["epoch"]
    for part in {"state_dict", "current_model_state", "averaging_state"} & set(theirs):
        for name, weights in theirs[part].items():
            assert torch.equal(ours[part][name], weights), name
    assert ours["history"] == theirs["history"]
    assert ours["lr_schedulers"] == theirs["lr_schedulers"]
    best = [read_checkpoint(run_dir / "checkpoints" / "best.ckpt")["epoch"] for run_dir in (resumed, unbroken)]
    assert best[0] == best[1]


def test_the_schedule_steps_in_this_run(unbroken: Path) -> None:
    history = read_checkpoint(unbroken / "checkpoints" / "last.ckpt")["history"]
    assert len({row["lr"] for row in history}) > 1, "the test would not notice a lost step of ReduceLROnPlateau"


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_killed_run_ends_with_the_same_weights(epoch: int, folder: Path, settings: list[str], unbroken: Path) -> None:
    run_dir = folder / f"killed{epoch}"
    kill_after_epoch([*settings, f"hydra.run.dir={run_dir}"], run_dir, epoch)
    assert read_checkpoint(run_dir / "checkpoints" / "last.ckpt")["epoch"] < 5, "killed too late to mean anything"
    run([f"ckpt_path={run_dir}"], folder)
    assert_same_end(run_dir, unbroken)
    assert (run_dir / "val_metrics.txt").read_bytes() == (unbroken / "val_metrics.txt").read_bytes()


def test_a_killed_run_of_logmel_resbilstm_ends_with_the_same_weights(folder: Path) -> None:
    # One cycle by step, EMA, batches of like length, augmentation drawn from a generator of its own.
    small = ["data=synthetic", "data.split=random", "data.fold=null", "data.synthetic.n_actors=2", "data.batch_size=16"]
    small += ["data.channel=speech", "model.network.channels=[8, 8]", "model.network.lstm_hidden=8"]
    settings = ["experiment=logmel_resbilstm", *small, "spectrogram.mixup_probability=0.5", "trainer.max_epochs=6"]
    settings += ["trainer.accelerator=cpu", "logger.tensorboard=false", f"paths.output_dir={folder}"]
    settings += [f"paths.data_dir={folder}/data"]
    unbroken, killed = folder / "logmel_resbilstm", folder / "logmel_killed"
    run([*settings, f"hydra.run.dir={unbroken}"], folder)
    kill_after_epoch([*settings, f"hydra.run.dir={killed}"], killed, 1)
    assert read_checkpoint(killed / "checkpoints" / "last.ckpt")["epoch"] < 5, "killed too late to mean anything"
    run([f"ckpt_path={killed}"], folder)
    assert_same_end(killed, unbroken)
    end = read_checkpoint(unbroken / "checkpoints" / "best.ckpt")
    assert end["epoch"] == 5
    ema, online = end["state_dict"], end["current_model_state"]
    assert any(not torch.equal(ema[name], online[name]) for name in ema)
    assert len({row["lr"] for row in end["history"]}) == 6


def test_a_finished_run_resumed_with_more_epochs_goes_on(folder: Path, settings: list[str], unbroken: Path) -> None:
    run_dir = folder / "short"
    run([*settings, "trainer.max_epochs=3", f"hydra.run.dir={run_dir}"], folder)
    run([f"ckpt_path={run_dir}", "trainer.max_epochs=6"], folder)
    assert_same_end(run_dir, unbroken)


def test_a_run_that_stopped_early_trains_no_further(folder: Path, settings: list[str]) -> None:
    run_dir = folder / "stopped"
    stops = ["callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=100"]
    run([*settings, *stops, f"hydra.run.dir={run_dir}"], folder)
    before = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    run([f"ckpt_path={run_dir}"], folder)
    after = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    assert after["epoch"] == before["epoch"] == 1


def test_other_settings_are_refused_on_resume(folder: Path, unbroken: Path) -> None:
    done = subprocess.run(
        command(f"ckpt_path={unbroken}", "model.lr=0.1"), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "error: model.lr cannot be changed in a resumed run; leave it out, or start a new run.\n"
    assert (unbroken / "checkpoints" / "last.ckpt").is_file()


def test_resuming_nothing_says_so(folder: Path) -> None:
    done = subprocess.run(command("ckpt_path=no/such/run"), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ckpt_path is no/such/run, which is no run")
    assert not (folder / "no").exists()


def test_ctrl_c_says_how_to_go_on(folder: Path, settings: list[str], unbroken: Path) -> None:
    run_dir = folder / "interrupted"
    process = subprocess.Popen(
        command(*settings, "trainer.max_epochs=1000", f"hydra.run.dir={run_dir}"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("Epoch 2:"):  # by now the checkpoint of epoch 1 is there
            break
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert f"go on with: python train.py ckpt_path={run_dir}" in said
    assert "Traceback" not in said
    assert read_checkpoint(run_dir / "checkpoints" / "last.ckpt")["epoch"] >= 1
