"""A made-up voice for the utterance-level heads."""

import torch
from torch import Tensor

N_BANDS = 32


def utterance(n_frames: int, *, seed: int = 0) -> Tensor:
    """Return float32 [1, bands + 2, frames]: log-mel bands in dB, pitch and voicing."""
    draw = torch.Generator().manual_seed(seed)
    bands = -40 + 12 * torch.randn(1, N_BANDS, n_frames, generator=draw)
    pitch = 7 + 0.05 * torch.randn(1, 1, n_frames, generator=draw).cumsum(dim=2)
    return torch.cat([bands, pitch, torch.rand(1, 1, n_frames, generator=draw)], dim=1)
