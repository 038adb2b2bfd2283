"""Random changes of a batch of log-mel spectrograms: vtlp, speed perturbation, rir, eq, telephone and noise.

A spectrogram here is decibels, 10 log10 of the power in the bands of `ser.features._filterbanks.mel_filters`.
Changing the spectrogram takes about half a millisecond a recording, so every training step can draw new changes.
The arithmetic is in `ser.augment._spectrogram_ops`; `ser.augment.specaugment` has masks and mixup.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ser.augment import _spectrogram_ops as ops
from ser.features.validation import Fraction, Natural, NaturalNumber, PositiveNumber, check_order, settings_dataclass

_LOG_LATE_FRACTION = (math.log(0.02), math.log(0.5))
"""Late energy over direct energy; from a dry room to a live one."""
_BUMP_WIDTH = (0.05, 0.2)
"""Standard deviation of an equaliser's bump, as a fraction of the mel scale."""
_TELEPHONE_LOW_HZ, _TELEPHONE_HIGH_HZ = (150.0, 400.0), (3000.0, 5000.0)
_TELEPHONE_LOW_SLOPE, _TELEPHONE_HIGH_SLOPE = (12.0, 36.0), (24.0, 60.0)
"""Decibels an octave beyond the edges."""
_NOISE_TILT_DB = (-18.0, 3.0)
_NOISE_WAVE_DB, _N_NOISE_WAVES = 2.0, 7
"""The noise's spectrum: from the first band to the last, and how far each of its waves goes either way."""


@settings_dataclass
class SpectrogramAugmentSettings:
    """How strongly a training batch of log-mel spectrograms is changed; by default not at all.

    Attributes
    ----------
    vtlp : vocal tract length perturbation: largest absolute natural logarithm of the warping factor, 0 to 1.
    speed : speed perturbation: largest absolute natural logarithm of the rate, 0 to 1.
    rir : probability that a recording is convolved with a room's exponential decay.
    t60_low, t60_high : range of the reverberation time to -60 dB, in seconds.
    eq : probability that a recording is equalised: a tilt and two smooth bumps.
    eq_db : largest size of the tilt and of each bump, either way, in dB.
    telephone : probability that a recording is limited to a telephone's band.
    noise : probability that noise is added to a recording.
    snr_low, snr_high : range of the noise's distance below the recording's loud frames, in dB.
    n_masks : how many masks hide bands, and as many hide frames.
    freq_mask, time_mask : largest widths of the masks, in bands and frames; one hides a sixth of the frames at most.
    mixup : parameter of the Beta(mixup, mixup) that mixing weights are drawn from; 0: no mixup.
    mixup_probability : probability that a batch is mixed.
    """

    vtlp: Fraction = 0.0
    speed: Fraction = 0.0
    rir: Fraction = 0.0
    t60_low: PositiveNumber = 0.15
    t60_high: PositiveNumber = 0.7
    eq: Fraction = 0.0
    eq_db: NaturalNumber = 5.0
    telephone: Fraction = 0.0
    noise: Fraction = 0.0
    snr_low: float = 5.0
    snr_high: float = 40.0
    n_masks: Natural = 0
    freq_mask: Natural = 0
    time_mask: Natural = 0
    mixup: NaturalNumber = 0.0
    mixup_probability: Fraction = 0.0

    def __post_init__(self) -> None:
        check_order(self, "t60_low", "t60_high")
        check_order(self, "snr_low", "snr_high")

    @property
    def changes_sound(self) -> bool:
        """Whether `change_sound` changes anything."""
        return any((self.vtlp, self.speed, self.rir, self.eq, self.telephone, self.noise))

    @property
    def masks(self) -> bool:
        """Whether `ser.augment.specaugment.mask_spectrogram` changes anything."""
        return self.n_masks > 0 and max(self.freq_mask, self.time_mask) > 0

    @property
    def mixes(self) -> bool:
        """Whether `ser.augment.specaugment.mix` changes anything."""
        return self.mixup > 0 and self.mixup_probability > 0

    @property
    def changes_anything(self) -> bool:
        """Whether a training batch is changed at all."""
        return self.changes_sound or self.masks or self.mixes


def change_sound(
    features: Tensor,
    lengths: Tensor,
    settings: SpectrogramAugmentSettings,
    *,
    sample_rate: int,
    hop_seconds: float,
    max_length: int,
    generator: torch.Generator,
    n_bands: int | None = None,
    like: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the batch after vtlp, speed perturbation, rir, eq, telephone and noise, as far as the settings ask.

    Each recording's changes are drawn independently. Its level stays: the 90th percentile of its frames' levels is
    unchanged; and as in `ser.features.extract`, nothing is more than 80 dB below the largest value. Neither the other
    recordings of the batch nor the padding change the result.

    Parameters
    ----------
    features : float32 [batch, rows, frames], bands in dB, at most `max_length` frames; exactly 0 from each recording's
        length on.
    lengths : int64 [batch], frames of each recording, 1 or more; on the CPU, no GPU is waited for.
    sample_rate : of the sound, in Hz; the bands reach from 0 Hz to half of it.
    hop_seconds : from one frame to the next.
    max_length : frames that no recording gets beyond; a recording that would be longer is slowed down less.
    generator : of the CPU, whatever the device of the batch, so that its state can be stored with a run's.
    n_bands : rows that are bands, if others follow: the pitch as log2, which vtlp moves, and rows that only speed
        perturbation changes (the rows of `ser.features.pitch`).
    like : int64 [batch], the recording whose changes each recording takes, noise apart, such as the first of its
        speaker, so that all of these sound as if recorded in one place; None: each has its own.

    Returns
    -------
    features : float32 [batch, rows, frames'], padded with 0 as before. No real frame is 0 in all bands.
    lengths : int64 [batch].
    """
    if not settings.changes_sound:
        return features, lengths
    n, n_bands = len(features), n_bands or features.shape[1]
    draws = _Draws(n, generator, torch.arange(n) if like is None else like)
    level = ops.level_quantile(ops.to_power(features[:, :n_bands]), lengths)
    if settings.vtlp:
        alpha = torch.exp(draws.uniform(-settings.vtlp, settings.vtlp))
        octaves = torch.log2(alpha).to(features.device)[:, None] * ops.real_frames(features, lengths)
        bands = ops.vtlp(features[:, :n_bands], alpha, sample_rate=sample_rate)
        pitch = features[:, n_bands : n_bands + 1] - octaves[:, None]  # of no rows where none follow the bands
        features = torch.cat([bands, pitch, features[:, n_bands + 1 :]], dim=1)
    if settings.speed:
        rate = torch.exp(draws.uniform(-settings.speed, settings.speed))
        features, lengths = ops.speed_perturbation(features, lengths, rate, max_length=max_length)
    followers = features[:, n_bands:] * ops.real_frames(features, lengths)[:, None]
    power = ops.to_power(features[:, :n_bands])
    if settings.rir:
        rows = draws.chosen(settings.rir)
        t60 = draws.uniform(settings.t60_low, settings.t60_high)
        late = torch.exp(draws.uniform(*_LOG_LATE_FRACTION))
        power[rows] = ops.reverberate(power[rows], t60=t60[rows], late=late[rows], hop_seconds=hop_seconds)
    if settings.eq or settings.telephone:
        gain = _draw_gain(settings, draws, n_bands=n_bands, sample_rate=sample_rate)
        power = power * ops.to_power(gain).to(power.device)[:, :, None]
    if settings.noise:
        rows = draws.chosen(settings.noise)
        snr = draws.uniform(settings.snr_low, settings.snr_high)[rows]
        spectrum = _draw_noise_spectrum(draws, n_bands=n_bands)[rows]
        # For as many frames as there can be, so that a recording's noise does not depend on its neighbours' lengths.
        normal = torch.randn(len(rows), n_bands, max_length, generator=generator)[:, :, : power.shape[2]]
        own = lengths[rows.to(lengths.device)]
        drawn = {"snr": snr, "spectrum": spectrum, "normal": normal}
        power[rows] = ops.add_noise(power[rows], own, sample_rate=sample_rate, hop_seconds=hop_seconds, **drawn)
    return torch.cat([ops.to_decibels(power, lengths, level=level), followers], dim=1), lengths


@dataclass(frozen=True)
class _Draws:
    """Random numbers of `n` recordings, of which each takes those of the recording `like`, int64 [n]."""

    n: int
    generator: torch.Generator
    like: Tensor

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return float32 [n, ...], evenly drawn from low to high."""
        return low + (high - low) * torch.rand(self.n, *shape, generator=self.generator)[self.like]

    def chosen(self, probability: float) -> Tensor:
        """Return which recordings are chosen with that probability, int64 [chosen], on the CPU."""
        return (torch.rand(self.n, generator=self.generator)[self.like] < probability).nonzero()[:, 0]


def _draw_gain(settings: SpectrogramAugmentSettings, draws: _Draws, *, n_bands: int, sample_rate: int) -> Tensor:
    """Return float32 [n, bands], in dB: of eq, telephone, both or neither."""
    gain = torch.zeros(draws.n, n_bands)
    scale = torch.linspace(0, 1, n_bands)
    rows = draws.chosen(settings.eq)
    size = draws.uniform(-settings.eq_db, settings.eq_db, 3, 1)
    middle = draws.uniform(0, 1, 2, 1)
    width = draws.uniform(*_BUMP_WIDTH, 2, 1)
    bumps = size[:, 1:] * torch.exp(-0.5 * ((scale - middle) / width) ** 2)  # [n, 2, bands]
    gain[rows] += (size[:, 0] * (2 * scale - 1) + bumps.sum(dim=1))[rows]
    rows = draws.chosen(settings.telephone)
    centres = ops.band_edges(n_bands, sample_rate=sample_rate)[1:-1]
    low, high = (draws.uniform(*edge, 1) for edge in (_TELEPHONE_LOW_HZ, _TELEPHONE_HIGH_HZ))
    below = draws.uniform(*_TELEPHONE_LOW_SLOPE, 1) * torch.log2(low / centres).relu()  # [n, bands]
    above = draws.uniform(*_TELEPHONE_HIGH_SLOPE, 1) * torch.log2(centres / high).relu()
    gain[rows] -= (below + above)[rows]
    return gain


def _draw_noise_spectrum(draws: _Draws, *, n_bands: int) -> Tensor:
    """Return float32 [n, bands], in dB, smooth and of power 1 in all: a tilt and a few waves along the bands."""
    scale = torch.linspace(0, 1, n_bands)
    waves = torch.cos(math.pi * torch.arange(1, _N_NOISE_WAVES + 1)[:, None] * scale)  # [waves, bands]
    size = draws.uniform(-_NOISE_WAVE_DB, _NOISE_WAVE_DB, _N_NOISE_WAVES, 1)
    spectrum = draws.uniform(*_NOISE_TILT_DB, 1) * scale + (size * waves).sum(dim=1)
    return spectrum - ops.frame_levels(ops.to_power(spectrum)[:, :, None])
