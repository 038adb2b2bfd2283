"""Trials that are ended early: by the median of others, and never where they are no trial any more."""

from types import SimpleNamespace

import optuna
import pytest
import torch
from optuna.trial import TrialState

from ser.training.outcome import PRUNED
from ser.training.pruning import TrialPruning
from ser.training.study import PRUNED_AT, STUDY, open_journal


@pytest.fixture(params=["maximize", "minimize"])
def study(request, tmp_path):
    """A study of five trials that ended, of 0.5 in each of 20 epochs, and of one that runs."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=open_journal(tmp_path / "study.journal"), study_name=STUDY, direction=request.param
    )
    for _ in range(5):
        trial = study.ask()
        for epoch in range(20):
            trial.report(0.5, epoch)
        study.tell(trial, 0.5)
    study.ask()
    return study


@pytest.fixture
def run(study, tmp_path):
    """Train for some epochs of a metric, as Lightning would call the callback; return after which it stopped."""

    def epochs(*values, number=5, **settings):
        callback = TrialPruning(str(tmp_path / "study.journal"), number, **settings)
        trainer = SimpleNamespace(
            is_global_zero=True, sanity_checking=True, should_stop=False, callback_metrics={"val/uar": torch.tensor(0)},
            strategy=SimpleNamespace(broadcast=lambda value: value), default_root_dir=tmp_path, current_epoch=0,
        )  # fmt: skip
        callback.on_fit_start(trainer, None)
        callback.on_validation_end(trainer, None)
        trainer.sanity_checking = False
        for trainer.current_epoch, value in enumerate(values):
            trainer.callback_metrics = {"val/uar": torch.tensor(value)}
            callback.on_validation_end(trainer, None)
            if trainer.should_stop:
                return trainer.current_epoch
        return None

    return epochs


def test_a_trial_worse_than_the_median_ends_after_the_warmup(run, study, tmp_path):
    worse, better = (0.4, 0.6) if study.direction.name == "MAXIMIZE" else (0.6, 0.4)
    assert run(*[better] * 20) is None
    assert not (tmp_path / PRUNED).exists()
    number = study.ask().number
    assert run(*[worse] * 20, number=number, warmup_epochs=7) == 7
    side = "below" if worse < better else "above"
    sentence = f"Ended after epoch 7: val/uar {worse:.4f} is {side} the median of other trials.\n"
    assert (tmp_path / PRUNED).read_text() == sentence
    trial = study.trials[number]
    assert trial.user_attrs == {PRUNED_AT: 7}
    assert list(trial.intermediate_values) == list(range(8)), "the check before the training is no epoch"


def test_nothing_ends_before_enough_trials_have(run, study):
    worse = 0.4 if study.direction.name == "MAXIMIZE" else 0.6
    assert run(*[worse] * 20, startup_trials=6) is None


def test_a_run_that_is_no_trial_any_more_is_left_alone(run, study, tmp_path):
    study.tell(5, state=TrialState.FAIL)
    assert run(*[0.0] * 20) is None
    assert run(*[1.0] * 20) is None
    (tmp_path / "study.journal").unlink()
    assert run(*[0.0] * 20) is None
