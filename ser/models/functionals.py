"""Statistics of a whole utterance, for the utterance-level heads: functionals, per-band functionals, contour.

Schuller et al. 2009 (INTERSPEECH emotion challenge) call means and deviations over an utterance functionals. They say
what convolutions over broad bands cannot: how the pitch moves.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ser.models.normalisation import frame_mask

N_PITCH = 2
"""Rows after the bands: log2 of the pitch in Hz, voicing (`ser.features.pitch`)."""
N_GROUPS = 16
"""Of neighbouring bands; their number is a multiple of it."""
N_CEPSTRA = 15
_SIXTHS = 6
N_FUNCTIONALS = 2 * (2 + N_GROUPS + N_CEPSTRA) + 2 * (1 + N_GROUPS + N_CEPSTRA) + 2 * 3 + 2 * 2 + 2 * _SIXTHS + 2 + 3
_EIGHTHS = 8
N_CONTOUR = _EIGHTHS * (N_CEPSTRA + 3)
_LOUD_DB = -35.0
"""A frame is loud if it is no further than this below the loudest."""
_CONTOUR_LOUD_DB = -30.0
"""The contour begins and ends with a frame that is no further than this below the loudest."""
_VOICING = (0.3, 0.7)
"""From where to where a frame counts as voiced in part."""
_LARGEST_STEP = 0.15
"""Octaves between neighbouring frames; a larger step is an octave error, or another word."""
_SPARE = 1e-3
"""Weight of every frame of the utterance, so that no mean is empty, such as that of the pitch of a whisper."""
_TINY = 1e-10


def functionals(features: Tensor, lengths: Tensor, *, n_bands: int) -> Tensor:
    """Return weighted means and deviations over an utterance, float32 [batch, N_FUNCTIONALS].

    In loud frames: of level, voicing, groups of neighbouring bands and cepstra. In all frames: of the steps of the same
    from frame to frame. In voiced frames: of pitch, voicing, level and the steps of the pitch; and the slope and the
    curvature of the pitch. In each sixth of the utterance: of pitch and level. Last come the logarithm of the number of
    frames, and the voiced and the loud fraction.

    Parameters
    ----------
    features : float32 [batch, bands + 2, frames]: log-mel bands in dB and the rows of `ser.features.pitch`.
    lengths : int64 [batch], frames of each utterance before the padding.
    """
    bands, pitch, voicing = features[:, :n_bands], features[:, n_bands], features[:, n_bands + 1]
    real = frame_mask(lengths, features.shape[2]).float()  # [b, frames]
    length = real.sum(dim=1, keepdim=True).clamp(min=1.0)  # [b, 1]
    level, loud = _level_and_loudness(bands, lengths)
    groups = bands.reshape(-1, N_GROUPS, n_bands // N_GROUPS, bands.shape[2]).mean(dim=2)  # [b, groups, frames]
    spectrum = torch.cat([groups, _cepstra(bands)], dim=1)  # [b, groups + cepstra, frames]

    voiced = _voiced_fraction(voicing) * loud
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
    time = (torch.arange(real.shape[1], device=real.device) + 0.5) / length  # [b, frames], 0 to 1
    around = pitch - _mean(pitch, voiced, real)
    for sixth in range(_SIXTHS):
        here = real * (time >= sixth / _SIXTHS) * (time < (sixth + 1) / _SIXTHS)
        found += [_mean(around, voiced * here, real), _mean(level, here, real)]
    offset = 2 * (time - _mean(time, voiced, real))
    found += [_mean(around * offset**power, voiced, real) for power in (1, 2)]
    fractions = [weight.sum(dim=1, keepdim=True) / length for weight in (voiced, loud)]
    return torch.cat([*found, torch.log(length), *fractions], dim=1)


def band_functionals(features: Tensor, lengths: Tensor, *, n_bands: int) -> Tensor:
    """Return the mean, then the deviation, of every band in loud frames: float32 [batch, 2 * bands].

    They tell speakers apart; `functionals` has groups of bands instead, which serve for unseen speakers. Parameters are
    those of `functionals`.
    """
    bands = features[:, :n_bands]
    _, loud = _level_and_loudness(bands, lengths)
    return torch.cat(_mean_and_deviation(bands, loud, frame_mask(lengths, features.shape[2]).float()), dim=1)


def contour(features: Tensor, lengths: Tensor, *, n_bands: int) -> Tensor:
    """Return the cepstra, level, voicing and pitch of each eighth of an utterance, float32 [batch, N_CONTOUR].

    Two takes of a sentence by one speaker agree in the contour, syllable by syllable, and two emotions do not; between
    speakers it adds little to `functionals`. It spans the utterance from its first loud frame to its last. Neighbouring
    eighths overlap: the weight of a frame falls from 1 in the middle of an eighth to 0 in the middle of the next. The
    pitch is that of voiced frames. Parameters are those of `functionals`.
    """
    bands, pitch, voicing = features[:, :n_bands], features[:, n_bands], features[:, n_bands + 1]
    level, loud = _level_and_loudness(bands, lengths, within=_CONTOUR_LOUD_DB)
    frames = torch.arange(bands.shape[2], device=bands.device)  # [frames]
    first = loud.argmax(dim=1, keepdim=True)  # [b, 1]
    last = (loud * (frames + 1)).argmax(dim=1, keepdim=True)
    inside = (frames >= first) & (frames <= last)  # [b, frames]
    place = (frames - first + 0.5) / (last - first + 1) * _EIGHTHS - 0.5  # an eighth's middle is a whole number
    eighths = torch.arange(_EIGHTHS, device=bands.device).unsqueeze(1)
    near = (1 - (place.unsqueeze(1) - eighths).abs()).clamp(min=0)  # [b, eighths, frames]
    weight = (near + _SPARE) * inside.unsqueeze(1)
    voiced = weight * (_voiced_fraction(voicing) + _SPARE).unsqueeze(1)
    signals = torch.cat([_cepstra(bands), level.unsqueeze(1), voicing.unsqueeze(1)], dim=1)  # [b, cepstra + 2, frames]
    means = [
        over @ of.transpose(1, 2) / over.sum(dim=2, keepdim=True)  # [b, eighths, cepstra + 2], [b, eighths, 1]
        for of, over in ((signals, weight), (pitch.unsqueeze(1), voiced))
    ]
    return torch.cat(means, dim=2).flatten(1)


def _level_and_loudness(bands: Tensor, lengths: Tensor, *, within: float = _LOUD_DB) -> tuple[Tensor, Tensor]:
    """Return the level in dB, 0 where loudest, and 1 in loud frames, else 0; both float32 [b, frames]."""
    mask = frame_mask(lengths, bands.shape[2])
    level = 10 * torch.log10(torch.pow(10.0, bands / 10).sum(dim=1) + _TINY)
    level = level - level.masked_fill(~mask, -math.inf).amax(dim=1, keepdim=True)
    level = torch.where(mask, level, 0.0)
    return level, ((level > within) & mask).float()


def _voiced_fraction(voicing: Tensor) -> Tensor:
    low, high = _VOICING
    return ((voicing - low) / (high - low)).clamp(0, 1)


def _mean(signals: Tensor, weight: Tensor, real: Tensor) -> Tensor:
    """Return float32 [b, signals], the mean over frames of [b, signals, frames], or of one signal, [b, frames]."""
    weight = weight + _SPARE * real
    signals = signals.unsqueeze(1) if signals.ndim == 2 else signals
    return (signals * weight.unsqueeze(1)).sum(dim=2) / weight.sum(dim=1, keepdim=True).clamp(min=_SPARE)


def _mean_and_deviation(signals: Tensor, weight: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    mean = _mean(signals, weight, real)
    return mean, (_mean((signals - mean.unsqueeze(2)) ** 2, weight, real) + _SPARE**2).sqrt()


def _step(signals: Tensor) -> Tensor:
    """Return the change since the frame before; 0 in the first."""
    return F.pad(signals[..., 1:] - signals[..., :-1], (1, 0))


def _cepstra(bands: Tensor) -> Tensor:
    """Return terms 1 to 15 of the orthonormal cosine transform along the bands, float32 [b, cepstra, frames]."""
    n_bands = bands.shape[1]
    order = torch.arange(1, N_CEPSTRA + 1, device=bands.device).unsqueeze(1)
    place = torch.arange(n_bands, device=bands.device) + 0.5
    basis = torch.cos(math.pi * order * place / n_bands) * math.sqrt(2 / n_bands)  # [cepstra, bands]
    return basis @ bands
