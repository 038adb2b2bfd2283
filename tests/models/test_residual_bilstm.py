import pytest
import torch

from ser.models.networks.residual_bilstm import ResidualBiLstm


def network():
    torch.manual_seed(0)
    net = ResidualBiLstm(n_features=20, n_classes=3, channels=(4, 6), lstm_hidden=5)
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
