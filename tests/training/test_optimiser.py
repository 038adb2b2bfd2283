import math
from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from ser.errors import SettingsError
from ser.training.optimiser import (
    OptimiserSettings,
    SchedulerSettings,
    build_optimiser,
    build_schedule,
    one_cycle,
    update_ema,
)


def small_network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def test_the_default_is_adam_on_a_plateau():
    optimiser = build_optimiser(small_network(), OptimiserSettings(), lr=0.01, on_gpu=False)
    assert type(optimiser) is torch.optim.Adam
    assert [group["lr"] for group in optimiser.param_groups] == [0.01]
    assert not optimiser.param_groups[0]["fused"]
    schedule = build_schedule(optimiser, SchedulerSettings(factor=0.3, patience=2), n_steps=10)
    assert (schedule.factor, schedule.patience) == (0.3, 2)


def test_weight_decay_is_of_matrices_alone():
    network = small_network()
    optimiser = build_optimiser(network, OptimiserSettings(name="adamw", weight_decay=0.1), lr=0.01, on_gpu=False)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    optimiser.step()
    for name, weight in network.named_parameters():
        shrunk = 1 - 0.01 * 0.1 if weight.dim() > 1 else 1.0
        torch.testing.assert_close(weight.detach(), before[name] * shrunk)


def test_one_cycle_is_pytorchs():
    optimiser = torch.optim.SGD(small_network().parameters(), lr=0.5)
    # PyTorch's cycle ends on its last step, ours after it.
    theirs = OneCycleLR(
        optimiser, max_lr=0.5, total_steps=201, pct_start=0.2 * 200 / 201 + 1 / 201, div_factor=25, final_div_factor=400
    )
    for step in range(201):
        assert 0.5 * one_cycle(step, n_steps=200, pct_start=0.2) == pytest.approx(
            theirs.get_last_lr()[0], rel=0.02, abs=1e-4
        )
        optimiser.step()
        if step < 200:
            theirs.step()


def test_the_schedule_follows_the_steps():
    optimiser = build_optimiser(small_network(), OptimiserSettings(name="adamw"), lr=2.0, on_gpu=False)
    schedule = build_schedule(optimiser, SchedulerSettings(name="one_cycle", pct_start=0.5), n_steps=4)
    rates = []
    for _ in range(4):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([2 / 25, 1 + 1 / 25, 2.0, 1 + 1e-4], rel=1e-3)


def test_the_average_follows_the_formula_and_copies_counters():
    average, learner = small_network(), small_network(seed=1)
    learner(torch.randn(8, 3))
    start = {name: value.clone() for name, value in average.state_dict().items()}
    update_ema(average, learner, decay=0.9, step=1000)
    for name, value in average.state_dict().items():
        new = learner.state_dict()[name]
        expected = new if name.endswith("num_batches_tracked") else 0.9 * start[name] + 0.1 * new
        torch.testing.assert_close(value, expected)
    early = small_network()
    update_ema(early, learner, decay=0.9, step=2)
    expected = 0.25 * start["0.weight"] + 0.75 * learner.state_dict()["0.weight"]
    torch.testing.assert_close(early.state_dict()["0.weight"], expected)


def test_the_cycle_has_no_jump():
    rates = [one_cycle(step, n_steps=1000, pct_start=0.3) for step in range(1001)]
    assert max(abs(after - before) for before, after in pairwise(rates)) < math.pi / 2 / 300
    assert max(rates) == pytest.approx(1)


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        (OptimiserSettings, {"weight_decay": 0.1}, "weight_decay is 0.1, but adam has none: set optimiser.name=adamw"),
        (OptimiserSettings, {"name": "adamw", "weight_decay": -1.0}, "weight_decay is -1.0"),
        (OptimiserSettings, {"ema_decay": 1.0}, "ema_decay is 1.0"),
        (SchedulerSettings, {"pct_start": 0.0}, "pct_start is 0.0"),
        (SchedulerSettings, {"factor": 1.0}, "factor is 1.0"),
    ],
)
def test_bad_settings_are_refused(settings, values, message):
    with pytest.raises(SettingsError, match=message):
        settings(**values)
