"""A second opinion: one linear layer over statistics of the whole utterance, pitch among them.

Schuller et al. 2009 (INTERSPEECH emotion challenge) call such statistics functionals. A thousand recordings teach a
linear layer what the course of the pitch says, which the convolutions hardly see in bands as wide as a man's harmonics
are apart; and what the two get wrong differs.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

N_PITCH = 2
"""Rows after the bands: log2 of the pitch in Hz, voicing (`ser.features.pitch`)."""
N_GROUPS = 16
"""Of neighbouring bands; their number is a multiple of it."""
N_CEPSTRA = 15
_SIXTHS = 6
N_FUNCTIONALS = 2 * (2 + N_GROUPS + N_CEPSTRA) + 2 * (1 + N_GROUPS + N_CEPSTRA) + 2 * 3 + 2 * 2 + 2 * _SIXTHS + 2 + 3
_LOUD_DB = -35.0
"""A frame is loud if it is no further than this below the loudest."""
_VOICING = (0.3, 0.7)
"""From where to where a frame counts as voiced in part."""
_LARGEST_STEP = 0.15
"""Octaves between neighbouring frames; what is larger is a mistake, or another word."""
_SPARE = 1e-3
"""Weight of every real frame, so that a whisper has a mean pitch too, if one of little use."""
_TINY = 1e-10


class FunctionalsHead(nn.Module):
    """Logits from the functionals of an utterance. Fitted before the network is trained, and not trained with it.

    Buffers: `mean`, `scale` float32 [functionals], `weight` float32 [classes, functionals], `bias` float32 [classes].
    """

    def __init__(self, *, n_bands: int, n_classes: int) -> None:
        super().__init__()
        self.n_bands = n_bands
        self.register_buffer("mean", torch.zeros(N_FUNCTIONALS))
        self.register_buffer("scale", torch.ones(N_FUNCTIONALS))
        self.register_buffer("weight", torch.zeros(n_classes, N_FUNCTIONALS))
        self.register_buffer("bias", torch.zeros(n_classes))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map what `functionals` is given to logits, float32 [batch, classes]."""
        standardised = (functionals(features, mask, n_bands=self.n_bands) - self.mean) / self.scale
        return F.linear(standardised, self.weight, self.bias)


def functionals(features: Tensor, mask: Tensor, *, n_bands: int) -> Tensor:
    """Return weighted means and deviations over an utterance, float32 [batch, N_FUNCTIONALS].

    Where the voice is loud: of its level, voicing, groups of neighbouring bands and cepstra. In all frames: of the
    steps from frame to frame of the same. Where it is voiced: of pitch, voicing, level and the steps of the pitch; and
    the pitch's rise and bend. Of each sixth of the utterance: pitch and level. And how long it is, and how much of it
    is voiced and loud.

    Parameters
    ----------
    features : float32 [batch, bands + 2, frames]: log-mel bands in dB and the rows of `ser.features.pitch`.
    mask : bool [batch, frames], true from the first frame to a recording's last.
    """
    bands, pitch, voicing = features[:, :n_bands], features[:, n_bands], features[:, n_bands + 1]
    real = mask.float()  # [b, frames]
    length = real.sum(dim=1, keepdim=True).clamp(min=1.0)  # [b, 1]
    level, loud = level_and_loudness(bands, mask)
    spectrum = torch.cat([_grouped(bands), cepstra(bands)], dim=1)  # [b, groups + cepstra, frames]

    voiced = voiced_share(voicing) * loud
    step = _step(pitch)
    inside = F.pad(real[:, 1:], (1, 0))  # frames that have one before them
    smooth = voiced * inside * (step.abs() < _LARGEST_STEP)

    tones = torch.stack([level, voicing], dim=1)
    found = [
        *_mean_and_deviation(torch.cat([tones, spectrum], dim=1), loud, real),
        *_mean_and_deviation(_step(torch.cat([tones[:, :1], spectrum], dim=1)).abs(), inside, real),
        *_mean_and_deviation(torch.stack([pitch, voicing, level], dim=1), voiced, real),
        *_mean_and_deviation(torch.stack([step, step.abs()], dim=1), smooth, real),
    ]
    time = (torch.arange(mask.shape[1], device=mask.device) + 0.5) / length  # [b, frames], 0 to 1
    around = pitch - _mean(pitch.unsqueeze(1), voiced, real)
    for sixth in range(_SIXTHS):
        here = real * (time >= sixth / _SIXTHS) * (time < (sixth + 1) / _SIXTHS)
        found += [_mean(around.unsqueeze(1), voiced * here, real), _mean(level.unsqueeze(1), here, real)]
    offset = 2 * (time - _mean(time.unsqueeze(1), voiced, real))
    found += [_mean((around * offset**power).unsqueeze(1), voiced, real) for power in (1, 2)]
    shares = [weight.sum(dim=1, keepdim=True) / length for weight in (voiced, loud)]
    return torch.cat([*found, torch.log(length), *shares], dim=1)


def band_functionals(features: Tensor, mask: Tensor, *, n_bands: int) -> Tensor:
    """Return the mean, then the deviation, of every band where the voice is loud: float32 [batch, 2 * bands].

    Fine enough to tell voices from each other, which is why `functionals` has groups of bands instead: they say what
    is alike in voices that were never heard. Parameters are those of `functionals`.
    """
    bands = features[:, :n_bands]
    _, loud = level_and_loudness(bands, mask)
    return torch.cat(_mean_and_deviation(bands, loud, mask.float()), dim=1)


def level_and_loudness(bands: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the level in dB, 0 where loudest, and 1 where the voice is loud, else 0; both float32 [b, frames]."""
    level = 10 * torch.log10(torch.pow(10.0, bands / 10).sum(dim=1) + _TINY)
    level = level - level.masked_fill(~mask, -math.inf).amax(dim=1, keepdim=True)
    level = torch.where(mask, level, 0.0)
    return level, (level > _LOUD_DB).float() * mask.float()


def voiced_share(voicing: Tensor) -> Tensor:
    """Return how far a frame counts as voiced, 0 to 1, from its voicing; both float32 [b, frames]."""
    low, high = _VOICING
    return ((voicing - low) / (high - low)).clamp(0, 1)


def _mean(signals: Tensor, weight: Tensor, real: Tensor) -> Tensor:
    """Return the weighted mean over frames: float32 [b, signals] of [b, signals, frames] and [b, frames]."""
    weight = weight + _SPARE * real
    return (signals * weight.unsqueeze(1)).sum(dim=2) / weight.sum(dim=1, keepdim=True).clamp(min=_SPARE)


def _mean_and_deviation(signals: Tensor, weight: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    mean = _mean(signals, weight, real)
    return mean, (_mean((signals - mean.unsqueeze(2)) ** 2, weight, real) + _SPARE**2).sqrt()


def _step(signals: Tensor) -> Tensor:
    """Return the change since the frame before; 0 in the first."""
    return F.pad(signals[..., 1:] - signals[..., :-1], (1, 0))


def _grouped(bands: Tensor) -> Tensor:
    """Return the means of groups of neighbouring bands, float32 [b, groups, frames]."""
    return bands.unflatten(1, (N_GROUPS, -1)).mean(dim=2)


def cepstra(bands: Tensor) -> Tensor:
    """Return terms 1 to 15 of the orthonormal cosine transform along the bands, float32 [b, cepstra, frames]."""
    n_bands = bands.shape[1]
    order = torch.arange(1, N_CEPSTRA + 1, device=bands.device).unsqueeze(1)
    place = torch.arange(n_bands, device=bands.device) + 0.5
    basis = torch.cos(math.pi * order * place / n_bands) * math.sqrt(2 / n_bands)  # [cepstra, bands]
    return basis @ bands
