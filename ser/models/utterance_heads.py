"""Utterance-level heads: logits from statistics of a whole utterance, for late fusion with those of a network.

A head is fitted before the network is trained (`ser.training.utterance_head`), and not trained with it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser.models.functionals import N_CONTOUR, N_FUNCTIONALS, band_functionals, contour, functionals

N_LANDMARKS = 2048
"""Training utterances that others are compared with; the training part of the reference split has 1,961."""


class FunctionalsHead(nn.Module):
    """One linear layer over the functionals of an utterance.

    Buffers, float32: `mean`, `scale` [functionals], `weight` [classes, functionals], `bias` [classes].
    """

    def __init__(self, *, n_bands: int, n_classes: int) -> None:
        super().__init__()
        self.n_bands = n_bands
        self.mean, self.scale = nn.Buffer(torch.zeros(N_FUNCTIONALS)), nn.Buffer(torch.ones(N_FUNCTIONALS))
        self.weight = nn.Buffer(torch.zeros(n_classes, N_FUNCTIONALS))
        self.bias = nn.Buffer(torch.zeros(n_classes))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return logits, float32 [batch, classes]; parameters as in `ser.models.functionals.functionals`."""
        normalised = (functionals(features, lengths, n_bands=self.n_bands) - self.mean) / self.scale
        return F.linear(normalised, self.weight, self.bias)


class KernelHead(nn.Module):
    """A logistic regression over the similarity to utterances of training, by a Gaussian kernel of their statistics.

    Williams and Seeger 2001 (the Nystroem method). Variation within a group of alike utterances counts little in the
    similarity (within-class covariance normalisation, Hatch, Kajarekar and Stolcke 2006). The head remembers speakers:
    on a speaker-dependent split it is worth several points more than `FunctionalsHead`, for unseen speakers nothing.

    Buffers, float32: `mean` [statistics], `whitening` [statistics, statistics], `landmarks` [N_LANDMARKS, statistics],
    `weight` [classes, N_LANDMARKS], `bias` [classes]. Landmarks that are not needed have no weight.
    """

    def __init__(self, *, n_bands: int, n_classes: int) -> None:
        super().__init__()
        n_statistics = N_FUNCTIONALS + 2 * n_bands + N_CONTOUR
        self.n_bands = n_bands
        self.mean, self.whitening = nn.Buffer(torch.zeros(n_statistics)), nn.Buffer(torch.eye(n_statistics))
        self.landmarks = nn.Buffer(torch.zeros(N_LANDMARKS, n_statistics))
        self.weight = nn.Buffer(torch.zeros(n_classes, N_LANDMARKS))
        self.bias = nn.Buffer(torch.zeros(n_classes))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return logits, float32 [batch, classes]; parameters as in `ser.models.functionals.functionals`."""
        whitened = (self.statistics(features, lengths) - self.mean) @ self.whitening
        return F.linear(gaussian_kernel(whitened, self.landmarks), self.weight, self.bias)

    def statistics(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return what utterances are compared by, before it is whitened: float32 [batch, statistics]."""
        parts = functionals, band_functionals, contour
        return torch.cat([part(features, lengths, n_bands=self.n_bands) for part in parts], dim=1)


def gaussian_kernel(rows: Tensor, others: Tensor) -> Tensor:
    """Return exp of minus the mean squared difference of each row from each of the others: [rows, others]."""
    squares = rows.square().sum(dim=1, keepdim=True) + others.square().sum(dim=1)  # [rows, others]
    return torch.exp(-(squares - 2 * rows @ others.T).clamp(min=0) / rows.shape[1])
