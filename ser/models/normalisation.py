"""Normalisation as a layer, so that its statistics travel with the weights; and the mask that lengths make."""

import torch
from torch import Tensor, nn


def frame_mask(lengths: Tensor, n_frames: int) -> Tensor:
    """Return bool [batch, n_frames], true in the first `lengths` (int64 [batch]) frames of each row."""
    return torch.arange(n_frames, device=lengths.device) < lengths.unsqueeze(1)


class Normalisation(nn.Module):
    """Subtract a mean and divide by a scale.

    Per coefficient: every feature of every frame has statistics of its own, padding included, as in the reference
    implementation; the input then has `max_length` frames. Per band: a feature has one mean and one scale for all
    frames, and padding is 0 afterwards; the input may have any number of frames.

    Parameters
    ----------
    n_features : rows of the input.
    max_length : frames, for normalisation per coefficient; None normalises per band.
    """

    def __init__(self, n_features: int, *, max_length: int | None = None) -> None:
        super().__init__()
        self.per_band = max_length is None
        shape = (n_features, max_length or 1)
        self.mean = nn.Buffer(torch.zeros(shape))
        self.scale = nn.Buffer(torch.ones(shape))

    def set_statistics(self, mean: Tensor, scale: Tensor) -> None:
        """Take the statistics of the training part; `scale` is 1 where a value never varies."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Normalise float32 [batch, features, frames], of which the first `lengths` (int64 [batch]) frames count."""
        normalised = (features - self.mean) / self.scale
        return normalised * frame_mask(lengths, features.shape[2]).unsqueeze(1) if self.per_band else normalised
