import math

import pytest
import torch

from ser.errors import SettingsError
from ser.training.optimiser import OptimiserSettings, SchedulerSettings, build_optimiser, build_schedule


def small_network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def test_the_default_is_adam_on_a_plateau():
    optimiser = build_optimiser(small_network(), OptimiserSettings(), lr=0.01, on_gpu=False)
    assert type(optimiser) is torch.optim.Adam
    assert [group["lr"] for group in optimiser.param_groups] == [0.01]
    assert not optimiser.param_groups[0]["fused"]
    schedule = build_schedule(optimiser, SchedulerSettings(factor=0.3, patience=2), lr=0.01, n_steps=10)
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


def closed_form(step, *, n_steps, pct_start, lr):
    """Half a cosine from lr / 25 to lr, and half a cosine from there to lr * 1e-4."""
    top = pct_start * n_steps
    if step < top:
        low, done = lr / 25, 1 - step / top
    else:
        low, done = lr * 1e-4, (step - top) / (n_steps - top)
    return low + (lr - low) * (1 + math.cos(math.pi * done)) / 2


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize(
    ("n_steps", "pct_start"), [(1, 0.2), (4, 0.5), (7, 0.01), (200, 0.2), (200, 0.3), (1001, 1 / 3), (3700, 0.95)]
)
def test_one_cycle_has_its_closed_form(name, n_steps, pct_start):
    optimiser = build_optimiser(small_network(), OptimiserSettings(name=name), lr=3e-3, on_gpu=False)
    settings = SchedulerSettings(name="one_cycle", pct_start=pct_start)
    schedule = build_schedule(optimiser, settings, lr=3e-3, n_steps=n_steps)
    betas = [group["betas"] for group in optimiser.param_groups]
    assert len(betas) == (2 if name == "adamw" else 1)
    for step in range(n_steps + 1):
        expected = closed_form(step, n_steps=n_steps, pct_start=pct_start, lr=3e-3)
        for group in optimiser.param_groups:
            assert group["lr"] == pytest.approx(expected, rel=1e-12)
        if step < n_steps:
            optimiser.step()
            schedule.step()
    assert optimiser.param_groups[0]["lr"] == pytest.approx(3e-7, rel=1e-12)
    assert [group["betas"] for group in optimiser.param_groups] == betas


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
