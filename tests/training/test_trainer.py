"""The callbacks of a run's trainer, without a run."""

import sys
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import ProgressBar

from ser.errors import SettingsError
from ser.training.callbacks import RunProgressBar
from ser.training.trainer import _build_callbacks, build_trainer


@pytest.mark.parametrize("is_terminal", [True, False])
def test_there_is_a_progress_bar_on_a_terminal_only(is_terminal, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    bar = {"_target_": "ser.training.callbacks.RunProgressBar", "refresh_rate": 2}
    settings = SimpleNamespace(callbacks={"progress_bar": bar}, run_dir=tmp_path, best_checkpoint=None)
    bars = [one for one in _build_callbacks(settings, has_logger=False) if isinstance(one, ProgressBar)]
    assert [one.refresh_rate for one in bars] == [2] * is_terminal


def test_the_progress_bar_shows_what_is_logged_for_it_and_no_version_of_a_logger():
    shown = {"loss": 1.5, "val/uar": 0.5}
    trainer = SimpleNamespace(loggers=[SimpleNamespace(version=0)], progress_bar_metrics=shown)
    assert RunProgressBar().get_metrics(trainer, None) == shown


@pytest.mark.parametrize(("capability", "is_refused"), [("AVX512", False), ("AVX2", True)])
def test_16_bits_are_refused_where_the_processor_cannot_compute_in_them(capability, is_refused, tmp_path, monkeypatch):
    """An LSTM failed there in the first step, with a message of oneDNN alone."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    values = {"_target_": "lightning.Trainer", "accelerator": "cpu", "precision": "bf16-mixed"}
    settings = SimpleNamespace(trainer=values, callbacks={}, logger={}, run_dir=tmp_path, best_checkpoint="val/loss")
    if is_refused:
        with pytest.raises(SettingsError, match=r"precision is bf16-mixed.*32-true"):
            build_trainer(settings)
    else:
        assert build_trainer(settings).precision == "bf16-mixed"
