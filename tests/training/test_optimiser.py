import math

import pytest
import torch

from ser.training.optimiser import adam, adamw, one_cycle


def small_network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def test_adam_on_a_cpu_is_the_plain_one():
    optimiser = adam(small_network().parameters(), lr=0.01)
    assert type(optimiser) is torch.optim.Adam
    assert [group["lr"] for group in optimiser.param_groups] == [0.01]
    assert not optimiser.param_groups[0]["fused"]


def test_weight_decay_is_of_matrices_alone():
    network = small_network()
    optimiser = adamw(network.parameters(), lr=0.01, weight_decay=0.1)
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


@pytest.mark.parametrize("make", [adam, adamw])
@pytest.mark.parametrize(
    ("n_steps", "pct_start"), [(1, 0.2), (4, 0.5), (7, 0.01), (200, 0.2), (200, 0.3), (1001, 1 / 3), (3700, 0.95)]
)
def test_one_cycle_has_its_closed_form(make, n_steps, pct_start):
    optimiser = make(small_network().parameters(), lr=3e-3)
    schedule = one_cycle(optimiser, n_steps, max_lr=3e-3, pct_start=pct_start)
    betas = [group["betas"] for group in optimiser.param_groups]
    assert len(betas) == (2 if make is adamw else 1)
    for step in range(n_steps + 1):
        expected = closed_form(step, n_steps=n_steps, pct_start=pct_start, lr=3e-3)
        for group in optimiser.param_groups:
            assert group["lr"] == pytest.approx(expected, rel=1e-12)
        if step < n_steps:
            optimiser.step()
            schedule.step()
    assert optimiser.param_groups[0]["lr"] == pytest.approx(3e-7, rel=1e-12)
    assert [group["betas"] for group in optimiser.param_groups] == betas
