"""SpecAugment and mixup of a normalised batch: blocks of bands and frames set to 0, recordings mixed in pairs."""

import torch
from scipy.special import betaincinv
from torch import Tensor

from ser.augment.spectrogram import SpectrogramAugmentSettings

_LARGEST_PART = 6
"""A mask hides at most one part in so many of a recording's frames."""


def mask_spectrogram(
    normalised: Tensor, lengths: Tensor, settings: SpectrogramAugmentSettings, *, generator: torch.Generator
) -> Tensor:
    """Return the batch with blocks of bands and of frames set to 0, the mean.

    SpecAugment (Park et al. 2019) without time warping. Widths are drawn evenly from 0 to the largest, then places from
    all that are possible, for each recording by itself.

    Parameters
    ----------
    normalised : float32 [batch, bands, frames], 0 in the padding.
    lengths : int64 [batch], on the CPU or the batch's device.
    generator : of the CPU.
    """
    if not settings.masks:
        return normalised
    n, n_bands, n_frames = normalised.shape
    lengths = lengths.to(normalised.device)[:, None]
    widest = (lengths // _LARGEST_PART).clamp(max=settings.time_mask)
    drawn = torch.rand(4, n, settings.n_masks, dtype=torch.float64, generator=generator).to(normalised.device)
    bands = _blocks(*drawn[:2], widest=min(settings.freq_mask, n_bands), room=n_bands, size=n_bands)
    frames = _blocks(*drawn[2:], widest=widest, room=lengths, size=n_frames)
    return normalised.masked_fill(bands[:, :, None] | frames[:, None, :], 0.0)


def _blocks(width: Tensor, start: Tensor, *, widest: Tensor | int, room: Tensor | int, size: int) -> Tensor:
    """Return which of `size` places lie in a block, bool [batch, size].

    `width` and `start`, float64 [batch, blocks], are evenly drawn from 0 to 1; `widest`, the largest width, and `room`,
    the places that blocks may take, are numbers or int64 [batch, 1].
    """
    width = (width * (widest + 1)).long()
    start = (start * (room - width + 1)).long()
    places = torch.arange(size, device=width.device)[:, None]
    inside = (places >= start[:, None]) & (places < (start + width)[:, None])  # [batch, size, blocks]
    return inside.any(dim=2)


def mix(
    normalised: Tensor,
    lengths: Tensor,
    targets: Tensor,
    settings: SpectrogramAugmentSettings,
    *,
    generator: torch.Generator,
    allowed: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return the batch with each recording and its target mixed with another's, or, by chance, unchanged.

    Mixup: Zhang et al. (2018). One mixing weight is drawn for the batch; the larger part is each recording's own.
    Chance may pair a recording with itself.

    Parameters
    ----------
    normalised : float32 [batch, bands, frames], 0 in the padding.
    lengths : int64 [batch]; a mixture is as long as the longer of the two.
    targets : float32 [batch, classes], each row a distribution.
    generator : of the CPU.
    allowed : bool [batch, classes], the classes that the corpus of each recording has; a mixture has those of both.
        None: all have all, and so it is returned.
    """
    if not settings.mixes or torch.rand((), generator=generator) >= settings.mixup_probability:
        return normalised, lengths, targets, allowed
    weight = draw_mixing_weight(settings.mixup, generator=generator)
    partner = torch.randperm(len(lengths), generator=generator)
    others, of_others = normalised[partner.to(normalised.device)], targets[partner.to(targets.device)]
    longer = torch.maximum(lengths, lengths[partner.to(lengths.device)])
    if allowed is not None:
        allowed = allowed | allowed[partner.to(allowed.device)]
    return weight * normalised + (1 - weight) * others, longer, weight * targets + (1 - weight) * of_others, allowed


def draw_mixing_weight(mixup: float, *, generator: torch.Generator) -> float:
    """Return max(b, 1 - b) with b drawn from Beta(mixup, mixup): from 0.5 to 1.

    By the inverse of the distribution function, because PyTorch's own samplers of Beta and Gamma take no generator in
    public, and would leave a resumed run to the global one.
    """
    drawn = float(torch.rand((), dtype=torch.float64, generator=generator))
    smaller = float(betaincinv(mixup, mixup, min(drawn, 1 - drawn)))
    return 1 - smaller
