"""The optimiser of the weights, and the schedule of its learning rate."""

from typing import Literal

from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from ser.errors import SettingsError
from ser.features.validation import FractionBelowOne, InnerFraction, Natural, NaturalNumber, settings_dataclass

_DIV_FACTOR, _FINAL_DIV_FACTOR = 25.0, 400.0
"""The one-cycle schedule starts at lr / 25 and ends at lr / 25 / 400, a ten-thousandth of lr."""


@settings_dataclass
class SchedulerSettings:
    """The learning rate over time.

    Attributes
    ----------
    name : "plateau": ReduceLROnPlateau on the validation loss. "one_cycle": up to `model.lr` and down again along
        cosines, step by step, over the whole of `trainer.max_epochs` (Smith and Topin 2018, arXiv:1708.07120).
    factor, patience, min_lr : plateau: `factor` after `patience` epochs without gain, down to `min_lr`.
    pct_start : one-cycle: the fraction of the steps in which the rate rises, in (0, 1).
    """

    name: Literal["plateau", "one_cycle"] = "plateau"
    factor: InnerFraction = 0.5
    patience: Natural = 5
    min_lr: NaturalNumber = 1e-6
    pct_start: InnerFraction = 0.2


@settings_dataclass
class OptimiserSettings:
    """How gradients change the weights.

    Attributes
    ----------
    name : "adam", or "adamw", whose weight decay is apart from the gradients (Loshchilov and Hutter 2019).
    weight_decay : AdamW's, of matrices and filters; biases and normalisation layers have none.
    ema_decay : decay of the exponential moving average (EMA) of the weights per step, in [0, 1). The EMA model is then
        validated and kept in checkpoints. 0: no EMA.
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
    matrices = [weight for weight in network.parameters() if weight.dim() > 1]
    others = [weight for weight in network.parameters() if weight.dim() <= 1]
    decays, stays = {"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}
    return AdamW([decays, stays], lr=lr, fused=True)


def build_schedule(
    optimiser: Optimizer, settings: SchedulerSettings, *, lr: float, n_steps: int
) -> ReduceLROnPlateau | OneCycleLR:
    """Return the schedule of the optimiser's learning rate.

    Parameters
    ----------
    lr : the optimiser's learning rate, of a one-cycle schedule the highest.
    n_steps : optimiser steps of the whole training.
    """
    if settings.name == "plateau":
        return ReduceLROnPlateau(optimiser, factor=settings.factor, patience=settings.patience, min_lr=settings.min_lr)
    # PyTorch ends the cycle on its last step. Ours ends after the last of `n_steps`, hence one step more, and the top
    # is where `pct_start` of the `n_steps` are done.
    rising = (settings.pct_start * n_steps + 1) / (n_steps + 1)
    return OneCycleLR(
        optimiser,
        max_lr=lr,
        total_steps=n_steps + 1,
        pct_start=rising,
        div_factor=_DIV_FACTOR,
        final_div_factor=_FINAL_DIV_FACTOR,
        cycle_momentum=False,
    )
