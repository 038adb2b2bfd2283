import torch

from ser.models.attention import LuongDotAttention


def test_weights_are_a_distribution_over_the_frames():
    torch.manual_seed(0)
    context, weights = LuongDotAttention()(torch.randn(5, 16), torch.randn(5, 30, 16))
    assert context.shape == (5, 16)
    assert weights.shape == (5, 30)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(5))


def test_the_frame_most_like_the_query_counts_most():
    states = torch.eye(4)[None]
    context, weights = LuongDotAttention()(torch.tensor([[0.0, 0.0, 3.0, 0.0]]), states)
    # Scores 0, 0, 3, 0: softmax by hand.
    high = torch.exp(torch.tensor(3.0)) / (torch.exp(torch.tensor(3.0)) + 3)
    torch.testing.assert_close(weights[0, 2], high)
    torch.testing.assert_close(context, weights)  # the states are the unit vectors


def test_large_scores_do_not_overflow():
    states = torch.randn(1, 7, 4, generator=torch.Generator().manual_seed(0))
    context, weights = LuongDotAttention()(1e4 * torch.ones(1, 4), states)
    assert weights[0].argmax() == states[0].sum(dim=1).argmax()
    assert torch.isfinite(context).all()
