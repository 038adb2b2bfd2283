import pytest
import torch

from ser.errors import SettingsError
from ser.models.attention import AttentivePooling
from ser.models.networks.residual_bilstm import ResidualBiLstm, ResidualBiLstmSettings
from ser.models.registry import build_recogniser

SMALL = {"channels": [4, 6], "lstm_hidden": 5, "attention_hidden": 3}


def network(seed=0, **settings):
    torch.manual_seed(seed)
    net = ResidualBiLstm(ResidualBiLstmSettings(channels=(4, 6), lstm_hidden=5, **settings), n_features=20, n_classes=3)
    for module in net.modules():  # as after training: statistics that padding would upset
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.normal_(module.bias)
    return net.eval()


def features_of(length, *, frames, seed=0):
    features = torch.zeros(20, frames)
    features[:, :length] = torch.randn(20, length, generator=torch.Generator().manual_seed(seed))
    return features


@pytest.mark.parametrize("length", [1, 8, 61, 62, 63, 64])
def test_padding_and_neighbours_change_nothing(length):
    net = network()
    logits, weights = net(features_of(length, frames=length)[None], torch.tensor([length]))
    padded, neighbour = features_of(length, frames=120), features_of(120, frames=120, seed=1)
    together, more_weights = net(torch.stack([neighbour, padded]), torch.tensor([120, length]))
    torch.testing.assert_close(together[1:], logits)
    torch.testing.assert_close(more_weights[1, : weights.shape[1]], weights[0])
    assert (more_weights[1, weights.shape[1] :] == 0).all()
    assert weights.shape == (1, -(-length // 4))
    torch.testing.assert_close(more_weights.sum(dim=1), torch.ones(2))


def test_the_two_directions_are_a_bidirectional_lstm():
    net = network()
    both = torch.nn.LSTM(10, 5, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, weight in net.forwards.named_parameters():
            getattr(both, name).copy_(weight)
        for name, weight in net.backwards.named_parameters():
            getattr(both, f"{name}_reverse").copy_(weight)
    states = torch.randn(1, 9, 10)
    padded = torch.cat([states, torch.randn(1, 4, 10)], dim=1)
    mask = torch.arange(13)[None] < 9
    torch.testing.assert_close(net._recur(padded, mask)[:, :9], both(states)[0])


def test_silence_gives_no_nan():
    logits, weights = network()(torch.zeros(1, 20, 40), torch.zeros(1).long())
    assert torch.isfinite(logits).all()
    assert torch.isfinite(weights).all()


def test_every_weight_learns():
    net = network().train()
    lengths = (80, 50, 70, 60)
    features = [features_of(length, frames=80, seed=length) for length in lengths]
    logits, _ = net(torch.stack(features), torch.tensor(lengths))
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    still = [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()]
    # A softmax does not notice what is added to all its scores.
    assert still == ["pooling.score.2.bias"] or still == []


def test_pooling_is_a_weighted_mean_and_deviation():
    torch.manual_seed(0)
    pooling = AttentivePooling(6, 4)
    states, mask = torch.randn(2, 7, 6), torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    mean, deviation, weights = pooling(states, mask)
    for row, length in enumerate((7, 4)):
        real = states[row, :length]
        exponentials = pooling.score(real)[:, 0].exp()
        expected = exponentials / exponentials.sum()
        torch.testing.assert_close(weights[row, :length], expected)
        torch.testing.assert_close(mean[row], expected @ real)
        spread = (expected @ (real - expected @ real) ** 2 + 1e-5).sqrt()
        torch.testing.assert_close(deviation[row], spread)


def test_the_recogniser_tells_padding_by_lengths():
    torch.manual_seed(0)
    recogniser = build_recogniser("residual_bilstm", SMALL, n_features=20, max_length=64, n_classes=3).eval()
    recogniser.normalisation.set_statistics(torch.full((20, 1), -30.0), torch.full((20, 1), 4.0))
    features = -30 + 4 * torch.randn(1, 20, 64)  # whatever lies in the padding
    logits, weights = recogniser(features, torch.tensor([40]))
    shorter, _ = recogniser(features[:, :, :40], torch.tensor([40]))
    torch.testing.assert_close(logits, shorter)
    assert weights.shape == (1, 16)
    assert not torch.allclose(logits, recogniser(features, torch.tensor([64]))[0])
    features[:, :, 10:20] = 0  # zeros within the recording are sound
    zeros, _ = recogniser(features, torch.tensor([40]))
    assert not torch.allclose(zeros, recogniser(features[:, :, [*range(10), *range(20, 40)]], torch.tensor([30]))[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": [3]}, r"channels is \[3\]"),
        ({"lstm_hidden": 0}, "lstm_hidden is 0"),
        ({"dropout": 1}, "dropout is 1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        build_recogniser("residual_bilstm", settings, n_features=20, max_length=64, n_classes=3)
