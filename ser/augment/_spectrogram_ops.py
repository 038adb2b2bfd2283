"""What `ser.augment.spectrogram` does to spectrograms once its strengths are drawn: tensors in, tensors out.

Every function takes the batch on any device, and a strength for each recording on the CPU. Power is 10 ** (dB / 10).
"""

import math

import torch
from torch import Tensor

_TYPICAL, _LOUD = 0.90, 0.95
"""Quantiles of the frames' levels: the voice's level, which is kept, and the level that the SNR refers to."""
_DB_RANGE = 80.0


def vtlp(features: Tensor, alpha: Tensor, *, sample_rate: int) -> Tensor:
    """Return every band as the spectrogram's value at `alpha` times the band's frequency.

    Vocal tract length perturbation: Jaitly and Hinton (2013). Values between bands are interpolated on the mel scale;
    beyond the last band its own is repeated.

    Parameters
    ----------
    features : float32 [batch, bands, frames], dB.
    alpha : float [batch], on the CPU; over 1 lowers the formants, as a longer vocal tract does.
    """
    n_bands = features.shape[1]
    centres = band_edges(n_bands, sample_rate=sample_rate)[1:-1]
    spacing = _hz_to_mel(torch.tensor(sample_rate / 2)) / (n_bands + 1)
    places = _hz_to_mel(alpha[:, None] * centres) / spacing - 1  # [batch, bands]
    places = places.clamp(0, n_bands - 1).to(features.device)
    return _read_between(features, places[:, :, None], dim=1)


def speed_perturbation(features: Tensor, lengths: Tensor, rate: Tensor, *, max_length: int) -> tuple[Tensor, Tensor]:
    """Return recordings played `rate` times as fast, interpolated between frames, and their lengths.

    A recording's end is followed by repetitions of its last frame, not by padding.

    Parameters
    ----------
    features : float32 [batch, bands, frames].
    lengths : int64 [batch].
    rate : float [batch]; over 1 makes a recording shorter.
    """
    changed = (lengths / rate.to(lengths.device)).round().long().clamp(1, max_length)
    frames = torch.arange(int(changed.max()), device=features.device)
    last = (lengths - 1).to(features.device)
    stride = last / (changed - 1).clamp(min=1).to(features.device)
    places = torch.minimum(frames * stride[:, None], last[:, None])  # [batch, frames']
    return _read_between(features, places[:, None, :], dim=2), changed


def reverberate(power: Tensor, *, t60: Tensor, late: Tensor, hop_seconds: float) -> Tensor:
    """Return power with an exponential decay of earlier frames added in each band.

    Polack's model of late reverberation: its energy falls by 60 dB in `t60`.

    Parameters
    ----------
    power : float32 [batch, bands, frames].
    t60 : float [batch], seconds.
    late : float [batch], energy of the reverberation over that of the direct sound.
    """
    decay = (10 ** (-6 * hop_seconds / t60)).to(power.device)[:, None, None]  # from frame to frame
    # sum over k >= 0 of decay**k * power[t - k]: each turn doubles the number of terms.
    tail, shift = power, 1
    while shift < power.shape[2]:
        tail = torch.cat((tail[:, :, :shift], tail[:, :, shift:] + decay**shift * tail[:, :, :-shift]), dim=2)
        shift *= 2
    added = late.to(power.device)[:, None, None] * (1 - decay) * tail
    return torch.cat((power[:, :, :1], power[:, :, 1:] + added[:, :, :-1]), dim=2)


def add_noise(
    power: Tensor,
    lengths: Tensor,
    *,
    snr: Tensor,
    spectrum: Tensor,
    normal: Tensor,
    sample_rate: int,
    hop_seconds: float,
) -> Tensor:
    """Return power with noise added that is steady but for the fluctuation of Gaussian noise.

    A value of noise is Gamma distributed: it averages as many independent powers as its bandwidth times its duration,
    at least one. The band's triangle weighs as a box of 1.5 times its half-width does, and a Hann window as a box of
    0.51 times its length; that is 1.2 hops where frames overlap by a little over half.

    Parameters
    ----------
    power : float32 [batch, bands, frames].
    lengths : int64 [batch].
    snr : float [batch], dB from the noise up to the 95th percentile of the levels of the recording's frames.
    spectrum : float [batch, bands], dB; of power 1 over all bands.
    normal : float [batch, bands, frames], normal variates.
    """
    edges = band_edges(power.shape[1], sample_rate=sample_rate)
    degrees = (1.5 * (edges[2:] - edges[:-2]) / 2 * 1.2 * hop_seconds).clamp(min=1).to(power.device)[:, None]
    # Wilson and Hilferty (1931): the cube root of a Gamma variate is all but normal.
    fluctuation = (1 - 1 / (9 * degrees) + normal.to(power.device) / (3 * degrees.sqrt())).clamp(min=0) ** 3
    level = level_quantile(power, lengths, _LOUD) - snr.to(power.device)
    return power + to_power(spectrum.to(power.device) + level[:, None])[:, :, None] * fluctuation


def to_decibels(power: Tensor, lengths: Tensor, *, level: Tensor) -> Tensor:
    """Return dB with the typical frame of each recording at `level` [batch], floored, and 0 in the padding."""
    padding = ~real_frames(power, lengths)[:, None]
    shift = level - level_quantile(power, lengths)
    decibels = 10 * torch.log10(power.clamp(min=torch.finfo(power.dtype).tiny)) + shift[:, None, None]
    floor = decibels.masked_fill(padding, -math.inf).amax(dim=(1, 2), keepdim=True) - _DB_RANGE
    # A frame that lies on the floor in all bands must not be mistaken for padding.
    floor = floor.where(floor != 0, -torch.finfo(power.dtype).eps)
    return torch.maximum(decibels, floor).masked_fill(padding, 0.0)


def level_quantile(power: Tensor, lengths: Tensor, quantile: float = _TYPICAL) -> Tensor:
    """Return a quantile of the levels of each recording's own frames, in dB, float32 [batch]."""
    ordered = frame_levels(power).masked_fill(~real_frames(power, lengths), math.inf).sort(dim=1).values
    return _read_between(ordered, quantile * (lengths.to(power.device)[:, None] - 1), dim=1)[:, 0]


def real_frames(features: Tensor, lengths: Tensor) -> Tensor:
    """Return which frames are not padding, bool [batch, frames]."""
    return torch.arange(features.shape[2], device=features.device) < lengths.to(features.device)[:, None]


def frame_levels(power: Tensor) -> Tensor:
    """Return the level of all bands together, in dB, float32 [batch, frames]."""
    return 10 * torch.log10(power.sum(dim=1).clamp(min=torch.finfo(power.dtype).tiny))


def to_power(decibels: Tensor) -> Tensor:
    """Return 10 ** (decibels / 10), which takes longer when written so."""
    return torch.exp(decibels * (math.log(10) / 10))


def _read_between(values: Tensor, places: Tensor, *, dim: int) -> Tensor:
    """Return the values at fractional `places` along `dim`, linearly interpolated; the other dimensions broadcast."""
    low = places.floor()
    weight = (places - low).to(values.dtype)
    low = low.long()
    high = places.ceil().long()
    shape = [places.shape[axis] if axis == dim else size for axis, size in enumerate(values.shape)]
    return torch.lerp(values.gather(dim, low.expand(shape)), values.gather(dim, high.expand(shape)), weight)


def band_edges(n_bands: int, *, sample_rate: int) -> Tensor:
    """Return the edges of the mel bands in Hz, float32 [bands + 2]: a band's centre is its neighbours' edge."""
    mels = torch.linspace(0, 1, n_bands + 2, dtype=torch.float64) * _hz_to_mel(torch.tensor(sample_rate / 2))
    return torch.where(mels < 15, mels * 200 / 3, 1000 * torch.exp((mels - 15) * (math.log(6.4) / 27))).float()


def _hz_to_mel(frequency: Tensor) -> Tensor:
    """Slaney's scale, as in `ser.features._filterbanks`: even to 1 kHz, which is 15, then 27 steps a factor of 6.4."""
    above = 15 + torch.log(frequency.clamp(min=1000) / 1000) * (27 / math.log(6.4))
    return torch.where(frequency < 1000, frequency * 3 / 200, above)
