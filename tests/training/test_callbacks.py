"""What the EMA callback averages, validates, writes and resumes: training runs of a few steps without any sound."""

import warnings
from functools import partial

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn

from ser.data.samplers import EpochBatchSampler, FeatureDataset, feature_loader
from ser.inference.checkpoint import load_recogniser, read_checkpoint
from ser.training.callbacks import AtomicCheckpointIO, EmaWeightAveraging, RunCheckpoint, move_average
from ser.training.optimiser import adamw, one_cycle

pytestmark = pytest.mark.filterwarnings("ignore")
DECAY = 0.5
SETTINGS = {
    "optimiser": partial(adamw, lr=0.05), "scheduler": partial(one_cycle, max_lr=0.05), "scheduler_interval": "step",
}  # fmt: skip


class Recorder(Callback):
    """Keep a copy of the module's state after each training step and in each validation epoch."""

    def __init__(self):
        self.online, self.validated = [], []

    def on_fit_start(self, trainer, pl_module):
        self.initial = copy_of(pl_module)

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.online.append(copy_of(pl_module))

    def on_validation_batch_end(self, trainer, pl_module, *_):
        self.validated.append(copy_of(pl_module))


def copy_of(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def fit(classifier, batch, folder, *, max_epochs, resume=None):
    """Train with three steps an epoch and write epoch=0.ckpt, epoch=1.ckpt, ... into `folder`."""
    recorder = Recorder()
    checkpoints = ModelCheckpoint(folder, "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=max_epochs, callbacks=[recorder, EmaWeightAveraging(DECAY), checkpoints],
        plugins=[AtomicCheckpointIO()], logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0,
    )  # fmt: skip
    train, validation = (
        feature_loader(FeatureDataset(*batch), EpochBatchSampler(batch[1], batch_size=size, seed=seed))
        for size, seed in ((2, 0), (6, None))
    )
    trainer.fit(classifier, train, validation, ckpt_path=resume, weights_only=True)
    return recorder


def test_a_checkpoint_of_a_run_that_was_moved_keeps_its_best_score(tmp_path):
    before, after = (RunCheckpoint(tmp_path / place, "best") for place in ("before", "after"))
    old, score = str(tmp_path / "before" / "best.ckpt"), torch.tensor(0.5)
    before.best_model_path = before.kth_best_model_path = old
    before.best_model_score = before.kth_value = score
    before.best_k_models = {old: score}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Lightning's, that the folder has changed
        after.load_state_dict(before.state_dict())
    new = str(tmp_path / "after" / "best.ckpt")
    assert after.best_model_path == after.kth_best_model_path == new
    assert after.best_k_models == {new: score}
    assert (after.best_model_score, after.kth_value, after.last_model_path) == (score, score, "")


def small_network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


@pytest.mark.parametrize(("n_averaged", "decay"), [(1001, 0.9), (3, 0.25), (1, 0.1)])
def test_the_average_follows_the_formula_and_copies_counters(n_averaged, decay):
    average, online = small_network(), small_network(seed=1)
    online(torch.randn(8, 3))
    start = copy_of(average)
    states = ([*module.parameters(), *module.buffers()] for module in (average, online))
    move_average(*states, torch.tensor(n_averaged), decay=0.9)
    for name, value in average.state_dict().items():
        new = online.state_dict()[name]
        expected = new if name.endswith("num_batches_tracked") else decay * start[name] + (1 - decay) * new
        torch.testing.assert_close(value, expected)


def test_validation_and_checkpoints_have_the_ema_of_the_online_model(classifier, batch, tmp_path):
    made = classifier(**SETTINGS)
    recorder = fit(made, batch, tmp_path, max_epochs=2)
    average, averages = recorder.initial, []
    for step, online in enumerate(recorder.online):
        decay = min(DECAY, (1 + step) / (10 + step))
        average = {
            name: torch.lerp(average[name], new, 1 - decay) if new.is_floating_point() else new
            for name, new in online.items()
        }
        averages.append(average)
    checkpoint = read_checkpoint(tmp_path / "epoch=1.ckpt")
    loaded, _ = load_recogniser(tmp_path / "epoch=1.ckpt")
    assert len(averages) == 6
    for name, value in average.items():
        torch.testing.assert_close(recorder.validated[0][name], averages[2][name])
        torch.testing.assert_close(recorder.validated[1][name], value)
        torch.testing.assert_close(checkpoint["state_dict"][name], value)
        torch.testing.assert_close(loaded.state_dict()[name.removeprefix("recogniser.")], value)
        torch.testing.assert_close(made.state_dict()[name], value)  # after training too
        assert torch.equal(checkpoint["current_model_state"][name], recorder.online[-1][name])
    weights = "recogniser.network.stem.weight"
    assert not torch.allclose(average[weights], recorder.online[-1][weights])


def test_a_resumed_run_ends_with_the_same_online_and_ema_weights(classifier, batch, tmp_path):
    unbroken, resumed = tmp_path / "unbroken", tmp_path / "resumed"
    fit(classifier(**SETTINGS), batch, unbroken, max_epochs=3)
    fit(classifier(**SETTINGS), batch, resumed, max_epochs=3, resume=unbroken / "epoch=0.ckpt")
    first, second = (read_checkpoint(folder / "epoch=2.ckpt") for folder in (unbroken, resumed))
    assert first["averaging_state"]["n_averaged"] == 10
    for entry in ("state_dict", "current_model_state", "averaging_state"):
        for name, value in first[entry].items():
            assert torch.equal(second[entry][name], value), name
    assert first["history"] == second["history"]
    assert first["lr_schedulers"] == second["lr_schedulers"]


def test_a_cycle_resumed_with_more_epochs_has_its_new_length(classifier, batch, tmp_path):
    fit(classifier(**SETTINGS), batch, tmp_path, max_epochs=2)
    made = classifier(**SETTINGS)
    fit(made, batch, tmp_path, max_epochs=4, resume=tmp_path / "epoch=1.ckpt")
    rates = [row["lr"] for row in made.history]
    assert rates[1] == pytest.approx(0.05 * 1e-4)  # the end of the short cycle
    assert rates[2] > 0.001
    assert rates[3] == pytest.approx(0.05 * 1e-4)
