"""Optimisers and schedules with what PyTorch's own lack: weight decay of matrices alone, a one-cycle of n steps."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from ser.features.validation import InnerFraction, NaturalNumber, PositiveNumber

_DIV_FACTOR, _FINAL_DIV_FACTOR = 25.0, 400.0
"""The one-cycle schedule starts at lr / 25 and ends at lr / 25 / 400, a ten-thousandth of lr."""


Group = dict[str, Any]
"""A group of PyTorch's optimisers: "params", its weights, and settings of its own, such as "lr"."""


def adam(params: Iterable[nn.Parameter] | Iterable[Group], lr: PositiveNumber) -> Adam:
    """Return Adam (Kingma and Ba 2015, arXiv:1412.6980).

    Parameters
    ----------
    params : weights, or groups of them.
    lr : the learning rate.
    """
    groups = _groups(params)
    # Fused, all weights are one launch; on a CPU it would gain 7%, but round otherwise than the plain optimiser.
    return Adam(groups, lr=lr, fused=any(weight.is_cuda for group in groups for weight in group["params"]))


def adamw(
    params: Iterable[nn.Parameter] | Iterable[Group], lr: PositiveNumber, weight_decay: NaturalNumber = 0.01
) -> AdamW:
    """Return AdamW, whose weight decay is apart from the gradients (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Parameters
    ----------
    params : weights, or groups of them.
    lr : the learning rate.
    weight_decay : of matrices and filters; biases and normalisation layers have none.
    """
    groups = list[Group]()
    for group in _groups(params):
        matrices = [weight for weight in group["params"] if weight.dim() > 1]
        others = [weight for weight in group["params"] if weight.dim() <= 1]
        groups += [
            {**group, "params": matrices, "weight_decay": weight_decay},
            {**group, "params": others, "weight_decay": 0.0},
        ]
    return AdamW(groups, lr=lr, fused=True)


def _groups(params: Iterable[nn.Parameter] | Iterable[Group]) -> list[Group]:
    given: list[Any] = list(params)
    return given if given and isinstance(given[0], dict) else [{"params": given}]


def one_cycle(optimizer: Optimizer, n_steps: int, max_lr: PositiveNumber, pct_start: InnerFraction = 0.2) -> OneCycleLR:
    """Return a schedule up to `max_lr` and down again along cosines (Smith and Topin 2018, arXiv:1708.07120).

    Parameters
    ----------
    n_steps : optimiser steps of the whole training.
    max_lr : the highest learning rate, of the first group of weights. The others keep their ratio to it.
    pct_start : the fraction of the steps in which the rate rises, in (0, 1).
    """
    # PyTorch ends the cycle on its last step. Ours ends after the last of `n_steps`, hence one step more, and the top
    # is where `pct_start` of the `n_steps` are done.
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(
        optimizer,
        max_lr=[max_lr if rate == rates[0] else max_lr * rate / rates[0] for rate in rates],
        total_steps=n_steps + 1,
        pct_start=(pct_start * n_steps + 1) / (n_steps + 1),
        div_factor=_DIV_FACTOR,
        final_div_factor=_FINAL_DIV_FACTOR,
        cycle_momentum=False,
    )
