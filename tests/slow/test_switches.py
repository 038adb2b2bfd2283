"""Lightning's switches, as a configuration gives them: each run ends well, and its metrics are of what was run."""

import json
import logging
import math
import shutil
import warnings

import lightning as L
import numpy as np
import pytest
import torch

from ser.data.datamodule import EmotionData
from ser.errors import SettingsError
from ser.inference.checkpoint import load_recogniser, read_checkpoint
from ser.models.precision import computes_in_bf16
from ser.training.config import read_run_settings
from ser.training.metrics import METRICS
from ser.training.module import EmotionClassifier
from ser.training.run import build_data, train
from tests.command_line import rows_of
from tests.training.test_config import composed, names

# Whole runs are slow to draw and to trace; their lines are covered by `plain_run` and by tests of their own.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("undrawn"), pytest.mark.no_cover]
SMALL = (
    "experiment=debug", "data.corpus=ravdess", "data.augment_count=0", "data.batch_size=8", "data.workers=1",
    "model.network.conv_channels=[4,4]", "model.network.lstm_hidden=4", "trainer.accelerator=cpu", "logger=csv",
    "+callbacks.spy._target_=tests.slow.test_switches.Spy",
)  # fmt: skip
"""Two epochs of five batches: 36 recordings, eight a batch. Nine recordings are one batch of validation."""


class Spy(L.Callback):
    """Notes what a run does; `Spy.last` is that of the last run.

    Attributes
    ----------
    steps : for each training batch, (epoch, optimiser steps so far, the sum of its features).
    validated : for each validation, (epoch, optimiser steps so far, its loss).
    norms : of the gradients that each step but the last was made with.
    """

    def __init__(self):
        self.steps, self.validated, self.norms = [], [], []
        Spy.last = self

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.steps.append((trainer.current_epoch, trainer.global_step, batch[0].sum().item()))

    def on_validation_end(self, trainer, pl_module):
        loss = trainer.callback_metrics["val/loss"].item()
        self.validated.append((trainer.current_epoch, trainer.global_step, loss))

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        gradients = [weight.grad for weight in pl_module.parameters() if weight.grad is not None]
        if gradients:
            self.norms.append(torch.nn.utils.get_total_norm(gradients).item())

    def batches_of(self, epoch):
        return [batch for of, _, batch in self.steps if of == epoch]


class DataWithHyperParameters(EmotionData):
    def __init__(self, data, **settings):
        super().__init__(data, **settings)
        self.save_hyperparameters()


class WithHyperParameters(EmotionClassifier):
    def __init__(self, recogniser, metadata, **settings):
        super().__init__(recogniser, metadata, **settings)
        self.save_hyperparameters()


OWN = {"model": WithHyperParameters, "data": DataWithHyperParameters}


@pytest.fixture(scope="module")
def run(tiny_corpus, tmp_path_factory):
    """Train with overrides; return the folder, the row of the best epoch, all rows, and what the spy saw."""
    cache = tmp_path_factory.mktemp("cache")

    def make(*overrides, folder=None):
        folder = folder or tmp_path_factory.mktemp("run")
        where = (f"paths.run_dir={folder}", f"paths.cache_dir={cache}", f"data.root={tiny_corpus}")
        configuration = composed(*SMALL, *where, *overrides)
        row = train(read_run_settings(configuration), configuration)
        return folder, row, history_of(folder), Spy.last

    return make


def history_of(folder, name="last"):
    path = folder / "checkpoints" / f"{name}.ckpt"
    return read_checkpoint(path)["history"] if path.exists() else []


def metrics_of(folder):
    """The metrics of the report, and the cross-entropy of its predictions."""
    probabilities = [float(row[f"p_{row['true']}"]) for row in rows_of(folder / "predictions.csv")]
    return json.loads((folder / "metrics.json").read_text())["overall"] | {"loss": -np.log(probabilities).mean()}


@pytest.fixture(scope="module")
def plain_run(run):
    return run()


def test_the_run_that_the_others_are_compared_with_has_ten_steps(plain_run):
    _, row, history, spy = plain_run
    assert [step[:2] for step in spy.steps] == [(number // 5, number) for number in range(10)]
    assert [seen[:2] for seen in spy.validated] == [(0, 5), (1, 10)]
    assert spy.batches_of(0) != spy.batches_of(1)
    assert row in history


def test_a_fast_dev_run_takes_a_batch_of_each_and_keeps_nothing(run, plain_run):
    folder, row, history, spy = run("+trainer.fast_dev_run=true")
    assert [step[2] for step in spy.steps] == plain_run[3].batches_of(0)[:1]
    assert [seen[:2] for seen in spy.validated] == [(0, 1)]
    assert math.isfinite(row["val/loss"])
    assert history == []
    assert [path.name for path in folder.iterdir()] == ["split.csv"]


@pytest.mark.parametrize("n_steps", [3, 5])
def test_max_steps_ends_with_a_validated_epoch_and_a_resumed_run_begins_the_next(n_steps, run, plain_run):
    theirs = plain_run[3]
    folder, row, history, spy = run(f"+trainer.max_steps={n_steps}", "trainer.max_epochs=5")
    assert [step[2] for step in spy.steps] == theirs.batches_of(0)[:n_steps]
    assert history == [row]
    assert row["val/loss"] == pytest.approx(spy.validated[-1][2])
    assert row["val/uar"] == pytest.approx(metrics_of(folder)["uar"])
    resume = (f"ckpt_path={folder}", f"+trainer.max_steps={n_steps + 6}", "trainer.max_epochs=5")
    _, _, history, spy = run(*resume, folder=folder)
    assert [step[:2] for step in spy.steps] == [(1, n_steps + k) for k in range(5)] + [(2, n_steps + 5)]
    assert spy.batches_of(1) == theirs.batches_of(1)
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert all("val/loss" in row for row in history)
    assert run(*resume, folder=folder)[3].steps == []  # there is nothing left to do


def test_a_schedule_of_epochs_steps_after_a_cut_epoch_too(run):
    step = "{_target_: torch.optim.lr_scheduler.StepLR, step_size: 1, gamma: 0.5}"
    halves = ("model/scheduler=constant", f"model.scheduler={step}", "trainer.max_epochs=5")
    folder, _, history, _ = run("+trainer.max_steps=7", *halves)
    assert [row["lr"] for row in history] == [0.001, 0.0005]
    _, _, history, _ = run(f"ckpt_path={folder}", "+trainer.max_steps=13", *halves, folder=folder)
    assert [row["lr"] for row in history] == [0.001, 0.0005, 0.00025, 0.000125]
    (schedule,) = read_checkpoint(folder / "checkpoints" / "last.ckpt")["lr_schedulers"]
    assert schedule["last_epoch"] == 4


class Falling(L.Callback):
    """Logs a metric that only falls."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/falling", -float(trainer.current_epoch))


def test_a_run_that_was_copied_and_resumed_there_keeps_its_best_epoch_and_says_nothing_raw(run, tmp_path):
    falls = (
        "+callbacks.falling._target_=tests.slow.test_switches.Falling",
        "callbacks.checkpoint.monitor=val/falling", "callbacks.checkpoint.mode=max", "+trainer.max_steps=7",
    )  # fmt: skip
    folder = run(*falls)[0]
    copied = shutil.copytree(folder, tmp_path / "copied")
    before = (folder / "checkpoints" / "best.ckpt").read_bytes()
    with warnings.catch_warnings(record=True) as raw:
        warnings.simplefilter("always")
        more = ("trainer.max_epochs=3", "trainer.max_steps=13")
        _, row, history, _ = run(*falls, *more, f"ckpt_path={copied}", folder=copied)
    assert [one["epoch"] for one in history] == [0, 1, 2]
    assert row["epoch"] == history_of(copied, "best")[-1]["epoch"] == 0
    assert (folder / "checkpoints" / "best.ckpt").read_bytes() == before
    lightning = [str(one.message) for one in raw if "lightning" in one.filename]
    assert lightning == []


def test_limit_train_batches_takes_the_first_of_each_epoch(run, plain_run):
    spy = run("+trainer.limit_train_batches=2")[3]
    for epoch in (0, 1):
        assert spy.batches_of(epoch) == plain_run[3].batches_of(epoch)[:2]


def test_without_validation_the_last_epoch_is_kept_and_nothing_depends_on_the_metric(run):
    monitors = ("callbacks.early_stopping.patience=1", "model.scheduler.patience=0", "trainer.max_epochs=4")
    folder, row, history, spy = run("+trainer.limit_val_batches=0", *monitors)
    assert spy.validated == []
    assert [one["epoch"] for one in history] == [0, 1, 2, 3]
    assert {one["lr"] for one in history} == {0.001}
    assert not any(key.startswith("val/") for one in history for key in one)
    assert row == history_of(folder, "best")[-1] == history[-1]
    assert (folder / "learning_curve.png").is_file()


def test_less_than_a_batch_is_one_sentence(run):
    with pytest.raises(SettingsError, match=r"^trainer refuses .* 0\.1 of the `val_dataloader` .*increase") as refused:
        run("+trainer.limit_val_batches=0.1")
    assert "\n" not in str(refused.value)


def test_overfitting_sees_the_same_batches_in_each_epoch(run, plain_run):
    spy = run("+trainer.overfit_batches=2")[3]
    assert spy.batches_of(0) == spy.batches_of(1) == plain_run[3].batches_of(0)[:2]


def test_accumulated_batches_make_fewer_steps_and_a_cycle_of_as_many(run):
    _, _, history, spy = run("+trainer.accumulate_grad_batches=2", "model/scheduler=one_cycle")
    assert [step[1] for step in spy.steps] == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5]
    assert history[-1]["lr"] == pytest.approx(1e-3 * 1e-4)  # where the cycle ends


def test_several_validations_of_an_epoch_leave_the_last_one(run):
    _, _, history, spy = run("+trainer.val_check_interval=0.5")
    assert [seen[:2] for seen in spy.validated] == [(0, 2), (0, 4), (1, 7), (1, 9)]
    assert [row["val/loss"] for row in history] == pytest.approx([spy.validated[k][2] for k in (1, 3)])


def test_epochs_without_validation_have_no_row_of_it_and_move_nothing(run):
    never_better = ("+model.scheduler.threshold=100", "+model.scheduler.threshold_mode=abs")
    every_second = ("+trainer.check_val_every_n_epoch=2", "model.scheduler.patience=0", *never_better)
    folder, row, history, _ = run(*every_second, "trainer.max_epochs=5")
    validated = [one for one in history if "val/loss" in one]
    assert [one["epoch"] for one in validated] == [1, 3]
    assert row == history_of(folder, "best")[-1] == min(validated, key=lambda one: one["val/loss"])
    # Both validations step on the plateau: the first sets the mark, the second does not reach it.
    assert [one["lr"] for one in history] == [0.001] * 4 + [0.0005]


def test_a_resumed_run_keeps_the_validated_epoch_as_its_best(run):
    every_second = "+trainer.check_val_every_n_epoch=2"
    folder = run(every_second)[0]
    assert [row["epoch"] for row in history_of(folder, "best")] == [0, 1]
    _, row, history, _ = run(every_second, f"ckpt_path={folder}", "trainer.max_epochs=3", folder=folder)
    assert [one["epoch"] for one in history] == [0, 1, 2]
    assert row["epoch"] == history_of(folder, "best")[-1]["epoch"] == 1


def test_the_profiler_prints_its_table(run, caplog):
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.profilers"):
        run("+trainer.profiler=simple")
    assert "run_training_epoch" in caplog.text


@pytest.mark.parametrize("name", names("debug"))
def test_every_debugging_configuration_runs(name, run):
    shorter = ["trainer.max_epochs=2"] if name == "overfit" else []
    folder, row, history, spy = run(f"debug={name}", *shorter)
    assert math.isfinite(row["train/loss"])
    assert len(history) == {"fast_dev_run": 0, "overfit": 2, "limit": 3}.get(name, 1)
    assert len(spy.steps) == {"fast_dev_run": 1, "overfit": 6, "limit": 15}.get(name, 5)
    assert (folder / "fit-profile.txt").exists() == (name == "profiler")


def test_max_time_ends_a_run_with_a_validated_epoch(run):
    history = run("+trainer.max_time={seconds:1}", "trainer.max_epochs=1000", "~callbacks.early_stopping")[2]
    assert 1 <= len(history) < 1000
    assert "val/loss" in history[-1]
    with pytest.raises(SettingsError, match=r"^trainer\.max_time is over before the first step"):
        run("+trainer.max_time={seconds:0}")


def test_min_epochs_go_before_early_stopping(run):
    stops = ("callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=100")
    assert len(run("+trainer.min_epochs=3", "trainer.max_epochs=6", *stops)[2]) == 3


def test_gradients_are_clipped(run, plain_run):
    spy = run("+trainer.gradient_clip_val=0.01")[3]
    assert max(spy.norms) <= 0.01 * 1.001
    assert min(plain_run[3].norms) > 0.01


@pytest.mark.skipif(not computes_in_bf16(torch.device("cpu")), reason="this processor cannot compute in 16 bits")
def test_mixed_precision_trains_float32_weights(run, plain_run):
    folder, row, _, _ = run("trainer.precision=bf16-mixed")
    assert row["train/loss"] == pytest.approx(plain_run[1]["train/loss"], rel=0.01)
    assert row["train/loss"] != plain_run[1]["train/loss"]
    weights = load_recogniser(folder)[0].parameters()
    assert {weight.dtype for weight in weights} == {torch.float32}
    assert row["val/loss"] == pytest.approx(metrics_of(folder)["loss"], rel=0.01)


def test_any_metric_can_be_monitored(run):
    checkpoint = ("callbacks.checkpoint.monitor=val/uar", "callbacks.checkpoint.mode=max")
    stopping = ("callbacks.early_stopping.monitor=val/macro_f1", "callbacks.early_stopping.mode=max")
    plateau = ("model.scheduler_monitor=val/uar", "model.scheduler.mode=max", "model.scheduler.patience=0")
    folder, row, history, _ = run(*checkpoint, *stopping, *plateau, "model.lr=0.05", "trainer.max_epochs=4")
    best = {name: max(one[name] for one in history) for name in ("val/uar", "val/macro_f1")}
    state = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    assert row == history_of(folder, "best")[-1] == next(one for one in history if one["val/uar"] == best["val/uar"])
    assert state["lr_schedulers"][0]["best"] == best["val/uar"]
    stopped = next(one for key, one in state["callbacks"].items() if "EarlyStopping" in key)
    assert stopped["best_score"].item() == pytest.approx(best["val/macro_f1"])


def test_a_run_without_a_validation_part_rejects_nothing(run, plain_run):
    folder = run("data.split=all", "trainer.max_epochs=1")[0]
    thresholds = [load_recogniser(one)[1].rejection_threshold for one in (folder, plain_run[0])]
    assert thresholds[0] == 0 < thresholds[1]  # which is a poor model


def test_without_a_checkpoint_callback_the_last_epoch_is_kept(run):
    folder, row, history, _ = run("~callbacks.checkpoint")
    assert row == history[-1] == history_of(folder, "best")[-1]


def test_validation_before_training_changes_nothing(run, plain_run):
    _, _, history, spy = run("trainer.num_sanity_val_steps=2")
    assert spy.validated[0][:2] == (0, 0)
    assert history == plain_run[2]


def test_saved_hyper_parameters_do_no_harm(run, plain_run):
    classes = (f"{group}._target_={__name__}.{cls.__name__}" for group, cls in OWN.items())
    folder, row, _, _ = run(*classes, "logger=default")
    assert row == plain_run[1]
    assert "hyper_parameters" not in read_checkpoint(folder / "checkpoints" / "best.ckpt")
    assert isinstance(WithHyperParameters.load_from_checkpoint(folder), WithHyperParameters)


def test_validate_test_and_predict_give_the_metrics_of_the_reports(run):
    split = ("data.split=speaker", "data.validation_speakers=[1]", "data.test_speakers=[2]")
    # A report is of all recordings, whatever the trainer is limited to.
    folder, row, _, _ = run(*split, "+trainer.limit_test_batches=0")
    configuration = read_checkpoint(folder / "checkpoints" / "best.ckpt")["ser"]["configuration"]
    module = EmotionClassifier.load_from_checkpoint(folder)
    data = build_data(read_run_settings(configuration))
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    (validated,), (tested,) = trainer.validate(module, data, verbose=False), trainer.test(module, data, verbose=False)
    for part, values, where in (("val", validated, folder), ("test", tested, folder / "test")):
        reported = metrics_of(where)
        assert values == pytest.approx({f"{part}/{name}": reported[name] for name in METRICS}, rel=1e-5)
    assert validated["val/loss"] == pytest.approx(row["val/loss"], rel=1e-5)
    predicted = torch.cat(trainer.predict(module, data)).numpy()
    rows = rows_of(folder / "test" / "predictions.csv")
    expected = [[float(one[f"p_{name}"]) for name in module.metadata.class_names] for one in rows]
    assert len(rows) == 15
    np.testing.assert_allclose(predicted, expected, atol=1e-4)


class NoNumber(torch.nn.Module):
    def forward(self, logits, targets):
        return logits.sum() * math.nan


def test_a_loss_that_is_no_number_is_named_and_not_the_checkpoint(run):
    with pytest.raises(SettingsError, match=r"training loss is not a number in epoch 0; give a lower model\.lr"):
        run(
            "model.loss._target_=tests.slow.test_switches.NoNumber",
            "~model.loss.label_smoothing",
            "~model.loss.class_weight_power",
        )


class Ended(L.Callback):
    def __init__(self, by):
        self.by = by

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        raise SystemExit if self.by == "SIGTERM" else KeyboardInterrupt


@pytest.mark.parametrize(("by", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_run_that_a_signal_ends_has_a_status_of_its_own(by, status, run):
    with pytest.raises((SystemExit, KeyboardInterrupt)) as end:
        run("+callbacks.ended._target_=tests.slow.test_switches.Ended", f"+callbacks.ended.by={by}")
    assert isinstance(end.value, KeyboardInterrupt) or end.value.code == status
