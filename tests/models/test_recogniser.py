import pytest
import torch

from ser.errors import SettingsError
from ser.models.registry import build_recogniser

SMALL = {"channels": [4, 8], "lstm_hidden": 4, "attention_hidden": 4}
BASELINE = {"conv_channels": [3, 3], "lstm_hidden": 2, "lstm_layers": 1}
N_BANDS = 32
LENGTHS = torch.tensor([50])


def utterance():
    """Log-mel bands, pitch and voicing: float32 [1, bands + 2, 50]."""
    draw = torch.Generator().manual_seed(0)
    bands = -40 + 12 * torch.randn(1, N_BANDS, 50, generator=draw)
    return torch.cat([bands, 7 + torch.rand(1, 2, 50, generator=draw)], dim=1)


def test_features_are_normalised_before_the_network():
    torch.manual_seed(0)
    recogniser = build_recogniser("cnn_bilstm_luong", BASELINE, n_features=4, max_length=10, n_classes=3).eval()
    recogniser.normalisation.set_statistics(torch.full((4, 10), 5.0), torch.full((4, 10), 2.0))
    features, lengths = torch.randn(2, 4, 10), torch.tensor([10, 10])
    logits, weights = recogniser(features, lengths)
    expected, expected_weights = recogniser.network((features - 5) / 2, lengths)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(weights, expected_weights)
    assert not torch.allclose(logits, recogniser.network(features, lengths)[0])


def build(fusion_weight):
    torch.manual_seed(0)
    settings = {**SMALL, "fusion_weight": fusion_weight}
    return build_recogniser("residual_bilstm", settings, n_features=N_BANDS + 2, max_length=64, n_classes=3).eval()


def test_late_fusion_weighs_the_log_probabilities():
    recogniser = build(0.3)
    recogniser.utterance_head.weight.normal_(std=0.1)
    features = utterance()
    logits, weights = recogniser.network_logits(features, LENGTHS)
    of_head = recogniser.utterance_head(features, LENGTHS)
    fused, fused_weights = recogniser(features, LENGTHS)
    expected = logits.softmax(dim=1) ** 0.7 * of_head.softmax(dim=1) ** 0.3
    torch.testing.assert_close(fused.softmax(dim=1), expected / expected.sum())
    torch.testing.assert_close(fused_weights, weights)


def test_the_network_does_not_get_the_rows_of_the_pitch():
    recogniser = build(0.3)
    features, other = utterance(), utterance()
    other[:, N_BANDS:] += 1
    torch.testing.assert_close(recogniser.network_logits(features, LENGTHS), recogniser.network_logits(other, LENGTHS))


def test_nothing_of_the_head_is_trained_and_all_of_it_is_kept():
    recogniser = build(0.3)
    assert not [name for name, _ in recogniser.named_parameters() if name.startswith("utterance_head")]
    kept = {name for name in recogniser.state_dict() if name.startswith("utterance_head")}
    assert kept == {f"utterance_head.{name}" for name in ("mean", "scale", "weight", "bias")}


def test_without_a_fusion_weight_there_is_no_head():
    recogniser = build_recogniser("residual_bilstm", SMALL, n_features=N_BANDS, max_length=64, n_classes=3)
    assert recogniser.utterance_head is None


def test_a_fusion_weight_of_one_is_refused():
    with pytest.raises(SettingsError, match="fusion_weight is 1"):
        build(1)
