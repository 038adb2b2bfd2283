import torch
from torch import nn

from ser.features.settings import FeatureSettings
from ser.models.metadata import ModelMetadata
from ser.models.normalisation import Normalisation
from ser.models.recogniser import Recogniser
from ser.models.registry import build_recogniser

# Late fusion with an utterance-level head is tested in test_utterance_heads.py.


def build(name, settings, *, n_mels, max_length):
    features = FeatureSettings(n_mels=n_mels, groups=("logmel",), max_length=max_length)
    described = {"class_names": ("calm", "sad", "angry"), "protocol": "Random weights."}
    return build_recogniser(ModelMetadata(architecture=name, network=settings, features=features, **described)).eval()


def test_features_are_normalised_before_the_network():
    torch.manual_seed(0)
    settings = {"conv_channels": [3, 3], "lstm_hidden": 2, "lstm_layers": 1}
    recogniser = build("cnn_bilstm_luong", settings, n_mels=4, max_length=10)
    recogniser.normalisation.set_statistics(torch.full((4, 10), 5.0), torch.full((4, 10), 2.0))
    features, lengths = torch.randn(2, 4, 10), torch.tensor([10, 10])
    logits, weights = recogniser(features, lengths)
    expected, expected_weights = recogniser.network((features - 5) / 2, lengths)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(weights, expected_weights)
    assert not torch.allclose(logits, recogniser.network(features, lengths)[0])


def test_padding_is_told_by_lengths_and_zeros_before_it_are_sound():
    torch.manual_seed(0)
    settings = {"channels": [4, 6], "lstm_hidden": 5, "attention_hidden": 3}
    recogniser = build("residual_bilstm", settings, n_mels=20, max_length=64)
    recogniser.normalisation.set_statistics(torch.full((20, 1), -30.0), torch.full((20, 1), 4.0))
    features = -30 + 4 * torch.randn(1, 20, 64)  # whatever lies in the padding
    features[:, :, 10:20] = 0
    logits, weights = recogniser(features, torch.tensor([40]))
    assert weights.shape == (1, 16)
    torch.testing.assert_close(logits, recogniser(features[:, :, :40], torch.tensor([40]))[0])
    without_zeros = features[:, :, [*range(10), *range(20, 40)]]
    for other, length in ((features, 64), (without_zeros, 30)):
        assert not torch.allclose(logits, recogniser(other, torch.tensor([length]))[0])


class Mean(nn.Module):
    """A network without attention, which returns logits alone."""

    def forward(self, features, lengths):
        return features.mean(dim=2)


def test_a_network_may_return_logits_alone_and_every_frame_counts_alike():
    recogniser, features = Recogniser(Normalisation(4), Mean()), torch.randn(3, 4, 10)
    recogniser.normalisation.set_statistics(torch.full((4, 1), 2.0), torch.full((4, 1), 5.0))
    lengths = torch.full((3,), 10)
    logits, weights = recogniser(features, lengths)
    torch.testing.assert_close(logits, (features.mean(dim=2) - 2) / 5)
    torch.testing.assert_close(weights, torch.full((3, 10), 0.1))
    for output in (recogniser.network_logits(features, lengths), recogniser.normalised_logits(features, lengths)):
        assert [tuple(one.shape) for one in output] == [(3, 4), (3, 10)]
    # What is normalised already is not normalised again.
    torch.testing.assert_close(recogniser.normalised_logits(features, lengths)[0], features.mean(dim=2))
