import torch

from ser.models.attention import AttentivePooling, LuongDotAttention

# The weights of the dot score are tested with the network that has them, in test_cnn_bilstm_luong.py.


def test_large_scores_do_not_overflow():
    states = torch.randn(1, 7, 4, generator=torch.Generator().manual_seed(0))
    context, weights = LuongDotAttention()(1e4 * torch.ones(1, 4), states)
    assert weights[0].argmax() == states[0].sum(dim=1).argmax()
    assert torch.isfinite(context).all()


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
