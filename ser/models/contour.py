"""The course of an utterance: what is heard in each eighth of it, from where it grows loud to where it falls quiet.

Two takes of a sentence by the same speaker agree in it, syllable by syllable, and two emotions do not; between
speakers it says little that `ser.models.functionals` does not.
"""

import torch
from torch import Tensor

from ser.models.functionals import N_CEPSTRA, cepstra, level_and_loudness, voiced_share

_EIGHTHS = 8
N_CONTOUR = _EIGHTHS * (N_CEPSTRA + 3)
_LOUD_DB = -30.0
"""The course begins and ends with a frame that is no further than this below the loudest."""
_SPARE = 1e-3
"""Weight of every frame in every eighth, so that none is empty in an utterance of a few frames, or without a voice."""


def contour(features: Tensor, mask: Tensor, *, n_bands: int) -> Tensor:
    """Return the cepstra, level, voicing and pitch of each eighth, float32 [batch, N_CONTOUR].

    Neighbouring eighths overlap: the weight of a frame falls from 1 in the middle of an eighth to 0 in the middle of
    the next. The pitch is that of voiced frames. Parameters are those of `ser.models.functionals.functionals`.
    """
    bands, pitch, voicing = features[:, :n_bands], features[:, n_bands], features[:, n_bands + 1]
    level, _ = level_and_loudness(bands, mask)
    loud = ((level > _LOUD_DB) & mask).float()
    frames = torch.arange(mask.shape[1], device=mask.device)
    first = loud.argmax(dim=1, keepdim=True)  # [b, 1]
    last = (loud * (frames + 1)).argmax(dim=1, keepdim=True)
    inside = (frames >= first) & (frames <= last)  # [b, frames]
    place = (frames - first + 0.5) / (last - first + 1) * _EIGHTHS - 0.5  # an eighth's middle is a whole number
    eighths = torch.arange(_EIGHTHS, device=mask.device).unsqueeze(1)
    near = (1 - (place.unsqueeze(1) - eighths).abs()).clamp(min=0)  # [b, eighths, frames]
    weight = (near + _SPARE) * inside.unsqueeze(1)
    voiced = weight * (voiced_share(voicing) + _SPARE).unsqueeze(1)
    signals = torch.cat([cepstra(bands), level.unsqueeze(1), voicing.unsqueeze(1)], dim=1)  # [b, cepstra + 2, frames]
    means = [_mean(signals, weight), _mean(pitch.unsqueeze(1), voiced)]
    return torch.cat(means, dim=2).flatten(1)


def _mean(signals: Tensor, weight: Tensor) -> Tensor:
    """Return weighted means, float32 [b, eighths, signals] of [b, signals, frames] and [b, eighths, frames]."""
    return weight @ signals.transpose(1, 2) / weight.sum(dim=2, keepdim=True)
