import torch

from ser.models.registry import build_recogniser

# Late fusion with an utterance-level head is tested in test_utterance_heads.py.


def test_features_are_normalised_before_the_network():
    torch.manual_seed(0)
    settings = {"conv_channels": [3, 3], "lstm_hidden": 2, "lstm_layers": 1}
    recogniser = build_recogniser("cnn_bilstm_luong", settings, n_features=4, max_length=10, n_classes=3).eval()
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
    recogniser = build_recogniser("residual_bilstm", settings, n_features=20, max_length=64, n_classes=3).eval()
    recogniser.normalisation.set_statistics(torch.full((20, 1), -30.0), torch.full((20, 1), 4.0))
    features = -30 + 4 * torch.randn(1, 20, 64)  # whatever lies in the padding
    features[:, :, 10:20] = 0
    logits, weights = recogniser(features, torch.tensor([40]))
    assert weights.shape == (1, 16)
    torch.testing.assert_close(logits, recogniser(features[:, :, :40], torch.tensor([40]))[0])
    without_zeros = features[:, :, [*range(10), *range(20, 40)]]
    for other, length in ((features, 64), (without_zeros, 30)):
        assert not torch.allclose(logits, recogniser(other, torch.tensor([length]))[0])
