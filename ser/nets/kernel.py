"""A second opinion for voices that were heard: how like is an utterance to those of training?

A Gaussian kernel over statistics of the utterance, and a logistic regression over its values (Williams and Seeger 2001,
the Nystroem method). It remembers speakers: on the random split, where each is heard in training, it is worth
several points more than a linear layer; on voices that were never heard, nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser.nets.functionals import N_FUNCTIONALS, band_functionals, functionals

N_LANDMARKS = 2048
"""Utterances of training that others are compared with; the training part of the original's split has 1,961."""


class KernelHead(nn.Module):
    """Logits from the likeness to utterances of training. Fitted before the network is trained, and not with it.

    Buffers: `mean`, `scale` float32 [statistics], `landmarks` float32 [N_LANDMARKS, statistics], `weight` float32
    [classes, N_LANDMARKS], `bias` float32 [classes]. Landmarks that are not needed have no weight.
    """

    def __init__(self, *, n_bands: int, n_classes: int) -> None:
        super().__init__()
        n_statistics = N_FUNCTIONALS + 2 * n_bands
        self.n_bands = n_bands
        self.register_buffer("mean", torch.zeros(n_statistics))
        self.register_buffer("scale", torch.ones(n_statistics))
        self.register_buffer("landmarks", torch.zeros(N_LANDMARKS, n_statistics))
        self.register_buffer("weight", torch.zeros(n_classes, N_LANDMARKS))
        self.register_buffer("bias", torch.zeros(n_classes))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map what `ser.nets.functionals.functionals` is given to logits, float32 [batch, classes]."""
        standardised = (self.statistics(features, mask) - self.mean) / self.scale
        return F.linear(gaussian_kernel(standardised, self.landmarks), self.weight, self.bias)

    def statistics(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return what utterances are compared by, before it is standardised: float32 [batch, statistics]."""
        of_utterance = functionals(features, mask, n_bands=self.n_bands)
        return torch.cat([of_utterance, band_functionals(features, mask, n_bands=self.n_bands)], dim=1)


def gaussian_kernel(rows: Tensor, others: Tensor) -> Tensor:
    """Return exp of minus the mean squared difference of each row from each of the others: [rows, others]."""
    squares = rows.square().sum(dim=1, keepdim=True) + others.square().sum(dim=1)  # [rows, others]
    return torch.exp(-(squares - 2 * rows @ others.T).clamp(min=0) / rows.shape[1])
