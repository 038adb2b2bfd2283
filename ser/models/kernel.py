"""A second opinion for voices that were heard: how like is an utterance to those of training?

A Gaussian kernel over statistics of the utterance, and a logistic regression over its values (Williams and Seeger 2001,
the Nystroem method). What varies between takes that were meant alike counts little in it (Hatch, Kajarekar and Stolcke
2006, within-class covariance normalisation). It remembers speakers: on the random split, where each is heard in
training, it is worth several points more than a linear layer; on voices that were never heard, nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser.models.contour import N_CONTOUR, contour
from ser.models.functionals import N_FUNCTIONALS, band_functionals, functionals

N_LANDMARKS = 2048
"""Utterances of training that others are compared with; the training part of the original's split has 1,961."""


class KernelHead(nn.Module):
    """Logits from the likeness to utterances of training. Fitted before the network is trained, and not with it.

    Buffers, float32: `mean` [statistics], `whitening` [statistics, statistics], `landmarks` [N_LANDMARKS, statistics],
    `weight` [classes, N_LANDMARKS], `bias` [classes]. Landmarks that are not needed have no weight.
    """

    def __init__(self, *, n_bands: int, n_classes: int) -> None:
        super().__init__()
        n_statistics = N_FUNCTIONALS + 2 * n_bands + N_CONTOUR
        self.n_bands = n_bands
        self.register_buffer("mean", torch.zeros(n_statistics))
        self.register_buffer("whitening", torch.eye(n_statistics))
        self.register_buffer("landmarks", torch.zeros(N_LANDMARKS, n_statistics))
        self.register_buffer("weight", torch.zeros(n_classes, N_LANDMARKS))
        self.register_buffer("bias", torch.zeros(n_classes))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map what `ser.models.functionals.functionals` is given to logits, float32 [batch, classes]."""
        whitened = (self.statistics(features, mask) - self.mean) @ self.whitening
        return F.linear(gaussian_kernel(whitened, self.landmarks), self.weight, self.bias)

    def statistics(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return what utterances are compared by, before it is whitened: float32 [batch, statistics]."""
        of_utterance = [of(features, mask, n_bands=self.n_bands) for of in (functionals, band_functionals, contour)]
        return torch.cat(of_utterance, dim=1)


def gaussian_kernel(rows: Tensor, others: Tensor) -> Tensor:
    """Return exp of minus the mean squared difference of each row from each of the others: [rows, others]."""
    squares = rows.square().sum(dim=1, keepdim=True) + others.square().sum(dim=1)  # [rows, others]
    return torch.exp(-(squares - 2 * rows @ others.T).clamp(min=0) / rows.shape[1])
