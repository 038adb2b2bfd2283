"""Training with speaker context: each recording of a batch has others of its speaker, so many at random, as context."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ser.augment.specaugment import mask_spectrogram
from ser.augment.spectrogram import SpectrogramAugmentSettings, change_sound
from ser.data.storage import StoredFeatures
from ser.features.settings import FeatureSettings
from ser.models.context import context_of
from ser.models.functionals import N_FUNCTIONALS, band_functionals, functionals
from ser.models.networks.context_bilstm import ContextBiLstm

_WITHOUT_CONTEXT = 0.25
"""Fraction of the training recordings that have none."""
_LIKE_ONE_PLACE = 0.8
"""Fraction of the groups of a speaker whose recordings are all changed alike, as if recorded in one place."""
_MOST_FRAMES = 176
"""A longer recording is cut at random to so many frames, for the network alone: few are longer."""
_PARTS = 2
"""Parts of a batch, by length, that the network gets one after another: less of it is padding."""
_LEAST_SCALE = 1e-3
_LEAST_SHARE = 1e-4
"""Of a class in training, for one that has no sample: a share is divided by."""
_BATCH_SIZE = 256


@dataclass(frozen=True)
class TrainingLogits:
    """Of a batch, each recording with a context and then each without: all are float32 [2 * batch, classes].

    Log-probabilities after late fusion, and the logits of both parts.
    """

    fused: Tensor
    of_embedding: Tensor
    of_functionals: Tensor


def logits_in_context(
    network: ContextBiLstm,
    features: Tensor,
    lengths: Tensor,
    speakers: Tensor,
    *,
    spectrogram: SpectrogramAugmentSettings,
    settings: FeatureSettings,
    generator: torch.Generator,
) -> TrainingLogits:
    """Return the logits of a batch, augmented at random: with a context of others of the speaker, and without.

    A context has from one to all of the speaker's other recordings in the batch, evenly drawn; that of a quarter of the
    recordings has none, as that of the second half of the logits. Summaries are of the augmented recordings, and
    gradients pass through them. Two sets of logits cost next to nothing beside the network.

    Parameters
    ----------
    features : float32 [batch, bands + 2, frames], not normalised.
    lengths : int64 [batch].
    speakers : int64 [batch].
    generator : of the CPU.
    """
    features, lengths = change_sound(
        features,
        lengths,
        spectrogram,
        sample_rate=settings.sample_rate,
        hop_seconds=settings.hop_length / settings.sample_rate,
        max_length=settings.max_length,
        generator=generator,
        n_bands=network.n_bands,
        like=_like(speakers.cpu(), generator=generator),
    )
    features = network.limit(features, lengths)
    values = functionals(features, lengths, n_bands=network.n_bands)  # [b, 157]
    bands = network.normalise(features, lengths)
    bands = mask_spectrogram(bands, lengths, spectrogram, generator=generator)
    embedding = _embed(network, *_cut(bands, lengths, generator=generator))  # [b, 256]
    summary = torch.cat([values, embedding], dim=1)
    members = draw_members(speakers.cpu(), generator=generator).to(summary.device)
    context = context_of(summary, members)
    contexts = torch.cat([context, torch.zeros_like(context)])
    of_embedding, of_functionals = network.logits(summary.repeat(2, 1), contexts)
    return TrainingLogits(network.fuse(of_embedding, of_functionals), of_embedding, of_functionals)


def draw_members(speakers: Tensor, *, generator: torch.Generator) -> Tensor:
    """Return which recordings of the batch are in the context of each, bool [batch, batch].

    Parameters
    ----------
    speakers : int64 [batch], on the CPU.
    """
    n = len(speakers)
    others = (speakers[:, None] == speakers) & ~torch.eye(n, dtype=torch.bool)
    order = torch.rand(n, n, generator=generator).masked_fill(~others, 2.0).argsort(dim=1).argsort(dim=1)
    there = others.sum(dim=1)
    number = 1 + (torch.rand(n, generator=generator) * there).long()
    number[torch.rand(n, generator=generator) < _WITHOUT_CONTEXT] = 0
    return (order < number[:, None]) & others


def _like(speakers: Tensor, *, generator: torch.Generator) -> Tensor:
    """Return the recording whose changes each one takes, int64 [batch]: the first of its speaker, or itself."""
    n = len(speakers)
    first = (speakers[:, None] == speakers).int().argmax(dim=1)
    shared = (torch.rand(n, generator=generator) < _LIKE_ONE_PLACE)[first]
    return torch.where(shared, first, torch.arange(n))


def _cut(bands: Tensor, lengths: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return at most `_MOST_FRAMES` frames of each recording, from a random place on."""
    over = (lengths - _MOST_FRAMES).clamp(min=0)
    start = (torch.rand(len(lengths), generator=generator).to(over.device) * (over + 1)).long()
    if not bool(over.any()):
        return bands, lengths
    places = start[:, None, None] + torch.arange(min(_MOST_FRAMES, bands.shape[2]), device=bands.device)
    return bands.gather(2, places.expand(-1, bands.shape[1], -1)), lengths.clamp(max=_MOST_FRAMES)


def _embed(network: ContextBiLstm, bands: Tensor, lengths: Tensor) -> Tensor:
    order = lengths.argsort()
    parts = [part for part in order.chunk(_PARTS) if len(part)]
    found = [network.embed(bands[part, :, : int(lengths[part].max())], lengths[part])[0] for part in parts]
    return torch.cat(found)[order.argsort()]


def fit_statistics(
    network: ContextBiLstm,
    features: Tensor | StoredFeatures,
    lengths: Tensor,
    speakers: Tensor,
    labels: Tensor,
    draws: Tensor | None = None,
) -> None:
    """Set the statistics of bands in loud frames, of functionals and of classes, of training samples by their draws.

    Parameters
    ----------
    features : float32 [samples, bands + 2, frames].
    lengths, speakers, labels : int64 [samples].
    draws : float64 [samples], how often each is drawn in an epoch; None: once.
    """
    weights = torch.ones(len(lengths), dtype=torch.float64) if draws is None else draws
    rows, of_bands = [], []
    for start in range(0, len(lengths), _BATCH_SIZE):
        part = slice(start, start + _BATCH_SIZE)
        of_part = lengths[part].cpu()
        batch = network.limit(torch.as_tensor(features[part]).cpu(), of_part), of_part
        rows.append(functionals(*batch, n_bands=network.n_bands).double())
        of_bands.append(band_functionals(*batch, n_bands=network.n_bands).double())
    values, share = torch.cat(rows), (weights / weights.sum())[:, None]
    means_of_bands, scales_of_bands = torch.cat(of_bands).chunk(2, dim=1)  # [samples, bands]
    mean = (share * values).sum(dim=0)
    scale = (share * (values - mean).square()).sum(dim=0).sqrt()
    membership = F.one_hot(speakers.cpu()).double()
    membership = membership[:, membership.sum(dim=0) > 0]
    means = (membership.T @ values) / membership.sum(dim=0)[:, None]  # [speakers, functionals]
    within = (share * (values - membership @ means).square()).sum(dim=0)
    # Long recordings count no more than short ones.
    band_mean = (share * means_of_bands).sum(dim=0)
    squares = (share * (scales_of_bands.square() + means_of_bands.square())).sum(dim=0)
    band_scale = (squares - band_mean.square()).sqrt()
    assert values.shape[1] == N_FUNCTIONALS
    network.set_statistics(
        band_mean.float(),
        band_scale.clamp(min=_LEAST_SCALE).float(),
        mean.float(),
        scale.clamp(min=_LEAST_SCALE).float(),
        within.clamp(min=_LEAST_SCALE**2).float(),
        expected_shares(labels.cpu(), weights, n_classes=len(network.class_shares)).float(),
    )


def expected_shares(labels: Tensor, draws: Tensor, *, n_classes: int) -> Tensor:
    """Return the shares of the classes that a speaker's answers are expected to have, float64 [classes], their sum 1.

    Square roots of the shares in training: a speaker of an unknown corpus may lack a class that is rare there.

    Parameters
    ----------
    labels : int64 [samples].
    draws : float64 [samples].
    """
    sums = torch.zeros(n_classes, dtype=torch.float64).index_add_(0, labels, draws)
    roots = (sums / sums.sum()).clamp(min=_LEAST_SHARE).sqrt()
    return roots / roots.sum()
