"""The short form of soak/killed_training.py: one kill, and what the comparison notices."""

import pytest
import torch

from ser.inference.checkpoint import read_checkpoint, save_atomically
from soak.killed_training import differences, rounds

pytestmark = pytest.mark.timeout(600)  # three starts of a training on a busy machine


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def done(folder):
    return list(rounds(1, seed=1, folder=folder))


def test_a_killed_run_ends_as_one_that_was_not(done):
    assert [(one["recipe"], one["differs"]) for one in done] == [("default", [])]


def test_the_schedule_steps_in_this_run(done, folder):
    history = read_checkpoint(folder / "default" / "run" / "checkpoints" / "last.ckpt")["history"]
    assert len({row["lr"] for row in history}) > 1, "a lost step of ReduceLROnPlateau would go unnoticed"


def test_the_smallest_difference_is_noticed(done, folder):
    unbroken, other = folder / "default", folder / "other"
    for name in ("last.ckpt", "best.ckpt"):
        content = read_checkpoint(unbroken / "run" / "checkpoints" / name)
        if name == "last.ckpt":
            weights = next(one for one in content["state_dict"].values() if one.is_floating_point() and one.ndim)
            flat = weights.view(-1)
            flat[0] = torch.nextafter(flat[0], torch.tensor(torch.inf))
        save_atomically(content, other / "run" / "checkpoints" / name)
    for name in ("val_metrics.txt", "predictions.csv", "metrics.json"):
        (other / "run" / name).write_bytes((unbroken / "run" / name).read_bytes())
    assert differences(other, unbroken) == ["last.ckpt: state_dict"]
    (other / "run" / "metrics.json").write_bytes(b"")
    assert differences(other, unbroken) == ["last.ckpt: state_dict", "metrics.json"]
