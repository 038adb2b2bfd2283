"""How weights are changed, and how fast: optimiser, learning rate over time, running average of the weights."""

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from ser.errors import SettingsError
from ser.features.validation import (
    FractionBelowOne,
    InnerFraction,
    Natural,
    NaturalNumber,
    settings_dataclass,
)

_WARM_FROM = 1 / 25
_ENDS_AT = 1e-4
"""The one-cycle schedule's first and last learning rate, as a share of its highest."""


@settings_dataclass
class SchedulerSettings:
    """The learning rate over time.

    Attributes
    ----------
    name : "plateau": ReduceLROnPlateau on the validation loss. "one_cycle": up to `model.lr` and down again along
        cosines, step by step, over the whole of `trainer.max_epochs` (Smith and Topin 2018, arXiv:1708.07120).
    factor, patience, min_lr : plateau: `factor` after `patience` epochs without gain, down to `min_lr`.
    pct_start : one-cycle: the share of the steps that go up.
    """

    name: Literal["plateau", "one_cycle"] = "plateau"
    factor: InnerFraction = 0.5
    patience: Natural = 5
    min_lr: NaturalNumber = 1e-6
    pct_start: InnerFraction = 0.2


@settings_dataclass
class OptimiserSettings:
    """What steps from gradients to weights.

    Attributes
    ----------
    name : "adam", or "adamw", whose weight decay is apart from the gradients (Loshchilov and Hutter 2019).
    weight_decay : AdamW's, of matrices and filters; biases and normalisations have none.
    ema_decay : decay of the running average of the weights by step, which is then what is validated and kept; 0: none.
    """

    name: Literal["adam", "adamw"] = "adam"
    weight_decay: NaturalNumber = 0.0
    ema_decay: FractionBelowOne = 0.0

    def __post_init__(self) -> None:
        if self.weight_decay and self.name != "adamw":
            raise SettingsError(
                f"weight_decay is {self.weight_decay}, but {self.name} has none: set optimiser.name=adamw."
            )


def build_optimiser(network: nn.Module, settings: OptimiserSettings, *, lr: float, on_gpu: bool) -> Optimizer:
    """Return the optimiser of a network's weights."""
    if settings.name == "adam":
        # Fused, all weights are one launch; on a CPU it would gain 7%, but round otherwise than the plain optimiser.
        return Adam(network.parameters(), lr=lr, fused=on_gpu)
    weights = list(network.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in weights if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=lr, fused=True)


def build_schedule(optimiser: Optimizer, settings: SchedulerSettings, *, n_steps: int) -> ReduceLROnPlateau | LambdaLR:
    """Return the schedule of the optimiser's learning rate; `n_steps` are those of the whole training."""
    if settings.name == "plateau":
        return ReduceLROnPlateau(optimiser, factor=settings.factor, patience=settings.patience, min_lr=settings.min_lr)
    return LambdaLR(optimiser, lambda step: one_cycle(step, n_steps=n_steps, pct_start=settings.pct_start))


def one_cycle(step: int, *, n_steps: int, pct_start: float) -> float:
    """Return the learning rate at a step (0, 1, ..., `n_steps`) as a share of the highest: two halves of a cosine."""
    top = pct_start * n_steps
    if step < top:
        low, done = _WARM_FROM, 1 - step / top
    else:
        low, done = _ENDS_AT, min(1.0, (step - top) / (n_steps - top))
    return low + (1 - low) * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def update_ema(average: nn.Module, learner: nn.Module, *, decay: float, step: int) -> None:
    """Move `average` towards `learner` by 1 - decay; more in the first steps, when it holds little but its start.

    Statistics of normalisation layers are averaged as weights are; counters are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for kept, new in zip(_state(average), _state(learner), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def _state(module: nn.Module) -> Iterable[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()
