"""A tiny network in the Lightning module, and a batch for it, made up without any sound."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from ser.corpora.ravdess import EMOTIONS
from ser.features.settings import FeatureSettings
from ser.models.metadata import ModelMetadata
from ser.models.registry import build_recogniser
from ser.training.loss import CrossEntropy
from ser.training.module import EmotionClassifier

Classifier = Callable[..., EmotionClassifier]

METADATA = ModelMetadata(
    architecture="residual_bilstm",
    network={"channels": (4, 4), "lstm_hidden": 4, "attention_hidden": 4, "dropout": 0.0, "block_dropout": 0.0},
    class_names=EMOTIONS[:3],
    features=FeatureSettings(groups=("logmel",), n_mels=20, max_length=64),
    protocol="made up",
)


@pytest.fixture
def classifier():
    def make(*, counts=(4, 8, 12), label_smoothing=0.0, class_weight_power=0.0, **settings):
        torch.manual_seed(0)
        loss = CrossEntropy(label_smoothing, class_weight_power, class_counts=counts)
        made = EmotionClassifier(build_recogniser(METADATA), METADATA, loss=loss, seed=0, **settings)
        made.trainer = SimpleNamespace(progress_bar_callback=None, world_size=1)
        made.draws = torch.Generator().manual_seed(0)
        return made

    return make


@pytest.fixture
def batch():
    """Features, lengths and labels of six recordings."""
    generator = torch.Generator().manual_seed(1)
    features = -40 + 10 * torch.randn(6, 20, 60, generator=generator)
    features[2:, :, 40:] = 0
    return features, torch.tensor([60, 60, 40, 40, 40, 40]), torch.tensor([0, 1, 2, 0, 1, 2])
