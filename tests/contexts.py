"""A small model that takes speaker context, with weights that nothing has trained."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ser.corpora.ravdess import EMOTIONS
from ser.features.settings import FeatureSettings
from ser.inference.predictor import Predictor
from ser.inference.torch_backend import TorchScorer
from ser.models.context import split_context
from ser.models.metadata import ModelMetadata
from ser.models.normalisation import frame_mask
from ser.models.recogniser import Recogniser
from ser.models.registry import build_recogniser
from tests.checkpoints import write_checkpoint

N_SUMMARY = 4


class ContextNetwork(nn.Module):
    """The summary is the mean of some bands; the logits depend on it and on every number of the context."""

    per_band = True

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.n_summary = N_SUMMARY
        self.classify = nn.Linear(3 * N_SUMMARY + 1, n_classes)

    def forward(self, features: Tensor, lengths: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mask = frame_mask(lengths, features.shape[2]).to(features.dtype)
        bands = features[:, :: features.shape[1] // N_SUMMARY][:, :N_SUMMARY]
        summary = (bands * mask.unsqueeze(1)).sum(dim=2) / lengths.unsqueeze(1)
        return self.of_summary(summary, context), mask / lengths.unsqueeze(1), summary

    def of_summary(self, summary: Tensor, context: Tensor) -> Tensor:
        number, mean, variance = split_context(context)
        weight = number / (number + 1)
        known = torch.cat([summary - weight * mean, weight * mean, weight * variance.sqrt(), weight], dim=1)
        return self.classify(0.02 * known)


OWN = {"ContextNetwork": ContextNetwork}
METADATA = ModelMetadata(
    architecture="ContextNetwork",
    network={},
    class_names=EMOTIONS,
    features=FeatureSettings(groups=("logmel",), n_mels=16, max_length=64),
    protocol="Random weights: nothing was learnt.",
    context=N_SUMMARY,
)


def context_recogniser(seed: int = 0) -> Recogniser:
    """Return the network with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        recogniser = build_recogniser(METADATA, OWN)
        nn.init.normal_(recogniser.network.classify.weight)
    return recogniser


def context_predictor(seed: int = 0) -> Predictor:
    """Return a predictor of it; windows last 1.49 s."""
    return Predictor(TorchScorer(context_recogniser(seed)), METADATA)


def other_model() -> Predictor:
    """Return one whose summaries have another number of values."""
    predictor = context_predictor()
    return Predictor(predictor.scorer, replace(METADATA, context=N_SUMMARY + 1))


def write_context_model(path: Path) -> Path:
    """Write a checkpoint of the network with random weights; it is loaded with `networks=OWN`. Return its path."""
    return write_checkpoint(context_recogniser(), METADATA, path)
