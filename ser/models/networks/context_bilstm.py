"""A residual network and a layer over functionals, both told how the speaker sounds otherwise.

What a person's other recordings have in common is their voice, their microphone and their language; what sets this
recording apart from them is the emotion. Where nearly all of a person's recordings get the same answer, that answer is
common too, and counts for less. Nothing that a summary holds depends on a context.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ser.features.validation import FractionBelowOne, ListOf, NaturalNumber, Positive, PositiveNumber
from ser.models.context import split_context
from ser.models.functionals import N_FUNCTIONALS, N_PITCH, band_functionals, functionals
from ser.models.networks.residual_bilstm import ResidualBiLstm
from ser.models.normalisation import frame_mask
from ser.models.precision import computes_in_bf16

_PRIOR_RECORDINGS = 4.0
"""At first, a context of so many recordings has half of the weight; training finds its own number."""
_LARGEST = 5.0
"""Normalised functionals are cut off here: a few of them have long tails."""
_TINY = 1e-6
_LEAST_DB = 3.0
"""Scale that bands are divided by at least: of silence it would be 0."""


class ContextBiLstm(ResidualBiLstm):
    """`ResidualBiLstm` and a perceptron over functionals, fused late; both have the speaker's context as an input.

    The summary of a recording is its functionals, its embedding, and its answer without context: the probabilities of
    the classes. Functionals go in twice: normalised by the training part, and by the context. The embedding goes in
    beside its difference from the context's mean. Mean and variance of a context are shrunk towards those of the
    training part; a context of no recording equals them.

    The answers of a context are used after training alone: each probability is multiplied by the share that its class
    is expected to have, and divided by the mean of the answers of the context, shrunk towards the expected share (a
    correction of a label shift without labels, in the way of Saerens et al. 2002). The more is known of a speaker, the
    more the functionals count, which gain most from a context. And the less is known, the less sure the answer is made:
    on corpora left out, networks were too sure above all without context.

    Parameters
    ----------
    n_features : rows of the features: bands of the spectrogram and the rows of `ser.features.pitch`.
    n_classes : columns of the output.
    channels, lstm_hidden, attention_hidden, block_dropout, dropout : as of `ResidualBiLstm`; `block_dropout` of whole
        maps (Tompson et al. 2015), which costs a sixth of the time.
    functionals_hidden : units of the perceptron.
    functionals_dropout : before both of its layers, in [0, 1).
    dynamic_range : decibels from the loudest band of a recording down to where bands are cut off.
    own_statistics : weight of the recording's own mean and variance in the normalisation of its bands, in [0, 1).
    answers_prior : a context of so many recordings has half of the weight in the correction by its answers and in the
        fusion, and takes half of the doubt away.
    functionals_in_context : weight of the functionals in the fusion, in [0, 1), of a speaker of whom all is known;
        without context it is 1/2. A model that was stored before there was this weight has 1/2 always.
    doubt : without context, log-probabilities are divided by 1 + doubt.
    bf16 : convolutions in training have 16 bits: in half the time on processors that have units for it. On a processor
        without AVX-512 they have 32 all the same.

    Attributes
    ----------
    n_summary : functionals, embedding and answer: 157 + 4 * lstm_hidden + n_classes.
    """

    groups = ("logmel", "pitch")

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        channels: Annotated[ListOf[Positive], Field(min_length=2, max_length=2)] = (48, 96),
        lstm_hidden: Positive = 96,
        attention_hidden: Positive = 64,
        block_dropout: FractionBelowOne = 0.1,
        dropout: FractionBelowOne = 0.3,
        functionals_hidden: Positive = 128,
        functionals_dropout: FractionBelowOne = 0.3,
        dynamic_range: PositiveNumber = 50.0,
        own_statistics: FractionBelowOne = 0.5,
        answers_prior: PositiveNumber = 5.0,
        functionals_in_context: FractionBelowOne = 0.5,
        doubt: NaturalNumber = 0.75,
        bf16: bool = False,
    ) -> None:
        n_bands = n_features - N_PITCH
        super().__init__(
            n_bands,
            n_classes,
            channels=channels,
            lstm_hidden=lstm_hidden,
            attention_hidden=attention_hidden,
            block_dropout=0.0,
            dropout=dropout,
        )
        for block in self.blocks:
            block.dropout = nn.Dropout2d(block_dropout)
        self.n_bands, self.dynamic_range, self.own_statistics, self.bf16 = n_bands, dynamic_range, own_statistics, bf16
        self.answers_prior, self.functionals_in_context, self.doubt = answers_prior, functionals_in_context, doubt
        n_embedding = 4 * lstm_hidden
        self.n_representation = N_FUNCTIONALS + n_embedding  # the summary without the answer
        self.n_summary = self.n_representation + n_classes
        self.band_mean, self.band_scale = nn.Buffer(torch.zeros(n_bands)), nn.Buffer(torch.ones(n_bands))
        self.mean, self.scale = nn.Buffer(torch.zeros(N_FUNCTIONALS)), nn.Buffer(torch.ones(N_FUNCTIONALS))
        self.within = nn.Buffer(torch.ones(N_FUNCTIONALS))
        self.class_shares = nn.Buffer(torch.full((n_classes,), 1 / n_classes))
        # Of the embedding's mean, of the functionals' mean, and of their variance.
        self.log_prior = nn.Parameter(torch.full((3,), _PRIOR_RECORDINGS).log())
        self.classify = nn.Linear(2 * n_embedding + 1, n_classes)
        self.of_functionals = nn.Sequential(
            nn.Dropout(functionals_dropout),
            nn.Linear(2 * N_FUNCTIONALS + 1, functionals_hidden),
            nn.ReLU(),
            nn.Dropout(functionals_dropout),
            nn.Linear(functionals_hidden, n_classes),
        )

    def set_statistics(
        self, band_mean: Tensor, band_scale: Tensor, mean: Tensor, scale: Tensor, within: Tensor, class_shares: Tensor
    ) -> None:
        """Take the statistics of the training part: of bands [bands], functionals [functionals] and classes [classes].

        `within` is the variance of the functionals within a speaker; `class_shares` are the shares of the classes among
        the answers that a speaker is expected to get, adding up to 1.
        """
        self.band_mean.copy_(band_mean)
        self.band_scale.copy_(band_scale)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        self.within.copy_(within)
        self.class_shares.copy_(class_shares)

    def forward(self, features: Tensor, lengths: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Return log-probabilities, attention weights and summaries.

        Parameters
        ----------
        features : float32 [batch, bands + 2, frames], not normalised.
        lengths : int64 [batch], frames of each recording before the padding.
        context : float32 [batch, 1 + 2 * n_summary], see `ser.models.context`.

        Returns
        -------
        log_probabilities : float32 [batch, classes].
        weights : float32 [batch, ceil(frames / 4)], one for every four frames, summing to 1, 0 where padded.
        summary : float32 [batch, n_summary].
        """
        features = self.limit(features, lengths)
        values = functionals(features, lengths, n_bands=self.n_bands)  # [b, 157]
        embedding, weights = self.embed(self.normalise(features, lengths), lengths)  # [b, 384], [b, 64]
        representation = torch.cat([values, embedding], dim=1)  # [b, 541]
        nothing = torch.zeros_like(context)
        answer = F.softmax(self.fuse(*self.logits(representation, nothing)), dim=1)  # [b, classes]
        summary = torch.cat([representation, answer], dim=1)  # [b, 549]
        return self.of_summary(summary, context), weights, summary

    def of_summary(self, summary: Tensor, context: Tensor) -> Tensor:
        """Return the log-probabilities of recordings whose summaries are at hand, float32 [batch, classes]."""
        logits = self.logits(summary[:, : self.n_representation], context)
        return self.correct(self.fuse(*logits, self.known(context)), context)

    def known(self, context: Tensor) -> Tensor:
        """Return how much is known of each speaker after training, float32 [batch, 1], in [0, 1)."""
        number, _, _ = split_context(context)
        return number / (number + self.answers_prior)

    def correct(self, log_probabilities: Tensor, context: Tensor) -> Tensor:
        """Return log-probabilities of which is divided out what the context's answers have in common, less sure.

        Parameters
        ----------
        log_probabilities : float32 [batch, classes]; they need not be normalised.
        context : float32 [batch, 1 + 2 * n_summary].

        Returns
        -------
        corrected : float32 [batch, classes], log-probabilities but for a constant of each recording.
        """
        _, mean, _ = split_context(context)
        known = self.known(context)  # [b, 1]
        shares = torch.lerp(self.class_shares.expand_as(log_probabilities), mean[:, self.n_representation :], known)
        corrected = log_probabilities + self.class_shares.log() - shares.log()
        return corrected / (1 + self.doubt * (1 - known))

    def limit(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the features with no band further than `dynamic_range` below the loudest one of the recording.

        What lies deeper tells studios and codecs apart, and no emotions.
        """
        bands, rows = features[:, : self.n_bands], features[:, self.n_bands :]
        mask = frame_mask(lengths, features.shape[2]).unsqueeze(1)  # [b, 1, frames]
        loudest = bands.masked_fill(~mask, -torch.inf).amax(dim=(1, 2), keepdim=True)  # [b, 1, 1]
        return torch.cat([torch.where(mask, torch.maximum(bands, loudest - self.dynamic_range), bands), rows], dim=1)

    def normalise(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return normalised bands, float32 [batch, bands, frames], 0 where padded.

        Mean and variance lie between those of the recording itself, in its loud frames, and those of the training
        part: so a microphone changes less, and what the recording as a whole sounds like is not lost.
        """
        own_mean, own_scale = band_functionals(features, lengths, n_bands=self.n_bands).chunk(2, dim=1)  # [b, bands]
        mean = torch.lerp(self.band_mean.expand_as(own_mean), own_mean, self.own_statistics)
        variance = torch.lerp(self.band_scale.square().expand_as(own_mean), own_scale.square(), self.own_statistics)
        bands = (features[:, : self.n_bands] - mean[:, :, None]) / variance.clamp(min=_LEAST_DB**2).sqrt()[:, :, None]
        return bands * frame_mask(lengths, features.shape[2]).unsqueeze(1)

    def logits(self, summary: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the embedding and of the functionals, both float32 [batch, classes].

        Parameters
        ----------
        summary : float32 [batch, n_representation]: without the answers.
        context : float32 [batch, 1 + 2 * n_summary], or of summaries without the answers,
            [batch, 1 + 2 * n_representation].
        """
        number, mean, variance = split_context(context)  # [b, 1], [b, 549], [b, 549]
        values, embedding = summary[:, :N_FUNCTIONALS], summary[:, N_FUNCTIONALS:]
        of_values, of_embedding = mean[:, :N_FUNCTIONALS], mean[:, N_FUNCTIONALS : self.n_representation]
        priors = self.log_prior.exp()
        known, known_values = number / (number + priors[0]), number / (number + priors[1])  # [b, 1]
        degrees = (number - 1).clamp(min=0)
        known_variance = degrees / (degrees + priors[2])
        inputs = torch.cat([embedding, known * (embedding - of_embedding), known], dim=1)  # [b, 769]
        centre = torch.lerp(self.mean.expand_as(of_values), of_values, known_values)  # [b, 157]
        spread = torch.lerp(self.within.expand_as(of_values), variance[:, :N_FUNCTIONALS], known_variance)
        everywhere = (values - self.mean) / self.scale
        here = (values - centre) / spread.clamp(min=_TINY).sqrt()
        rows = torch.cat([everywhere.clamp(-_LARGEST, _LARGEST), here.clamp(-_LARGEST, _LARGEST), known_values], dim=1)
        return self.classify(self.dropout(inputs)), self.of_functionals(rows)

    def fuse(self, of_embedding: Tensor, of_functionals: Tensor, known: Tensor | float = 0.0) -> Tensor:
        """Return the weighted mean of the log-probabilities of both, float32 [batch, classes] (late fusion).

        Parameters
        ----------
        of_embedding, of_functionals : logits, float32 [batch, classes].
        known : float32 [batch, 1], see `known`; 0, as in training: both weigh the same.
        """
        weight = 0.5 + (self.functionals_in_context - 0.5) * known
        return (1 - weight) * F.log_softmax(of_embedding, dim=1) + weight * F.log_softmax(of_functionals, dim=1)

    def _convolve(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        enabled = self.bf16 and self.training and computes_in_bf16(features.device)
        with torch.autocast(features.device.type, torch.bfloat16, enabled=enabled):
            states, mask = super()._convolve(features, lengths)
        return states.float(), mask


NETWORK = ContextBiLstm
