"""Standardisation as a layer, so that its numbers travel with the weights and can never be missing or differ."""

import torch
from torch import Tensor, nn


class Standardiser(nn.Module):
    """Subtract a mean and divide by a scale, element by element.

    Parameters
    ----------
    shape : of the statistics, broadcast against [batch, features, frames]; the original recipe standardises each of
        the features x frames columns on its own.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def set_statistics(self, mean: Tensor, scale: Tensor) -> None:
        """Take the statistics of the training part; `scale` is 1 where a column never varies."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.scale
