"""Attention: a weight for each frame."""

import torch
from torch import Tensor, nn

_MASKED = -1e4
"""A score that softmax turns into 0; minus infinity in all frames would give NaN."""
_LEAST_VARIANCE = 1e-5
"""Keeps the slope of the square root finite where nothing varies."""


class LuongDotAttention(nn.Module):
    """Global attention with the dot score: softmax over time of the query's product with every state.

    Luong, Pham and Manning (2015), arXiv:1508.04025.
    """

    def forward(self, query: Tensor, states: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the context and the weights.

        Parameters
        ----------
        query : float32 [batch, hidden]
        states : float32 [batch, frames, hidden]
        mask : bool [batch, frames]; frames where it is false have weight 0. None: all frames count.

        Returns
        -------
        context : float32 [batch, hidden], the weighted mean of the states.
        weights : float32 [batch, frames], not negative, summing to 1 over the frames.
        """
        scores = torch.bmm(states, query.unsqueeze(2)).squeeze(2)  # [batch, frames]
        if mask is not None:
            scores = scores.masked_fill(~mask, _MASKED)
        weights = torch.softmax(scores, dim=1)  # [batch, frames]
        context = torch.bmm(weights.unsqueeze(1), states).squeeze(1)  # [batch, hidden]
        return context, weights


class AttentivePooling(nn.Module):
    """The mean and the standard deviation of the states over time, weighted by a small network.

    Okabe, Koshinaka and Shinoda (2018), arXiv:1803.10963.

    Parameters
    ----------
    n_states : size of a state.
    n_hidden : units of the layer that scores it.
    """

    def __init__(self, n_states: int, n_hidden: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(n_states, n_hidden), nn.Tanh(), nn.Linear(n_hidden, 1))

    def forward(self, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and deviation, float32 [batch, states], and the weights, float32 [batch, frames].

        Parameters
        ----------
        states : float32 [batch, frames, states]
        mask : bool [batch, frames]; frames where it is false have weight 0, unless it is false in all of them.
        """
        scores = self.score(states).squeeze(2)  # [batch, frames]
        weights = torch.softmax(scores.masked_fill(~mask, _MASKED), dim=1)
        mean = torch.bmm(weights.unsqueeze(1), states).squeeze(1)  # [batch, states]
        squares = torch.bmm(weights.unsqueeze(1), (states - mean.unsqueeze(1)).square()).squeeze(1)
        return mean, (squares + _LEAST_VARIANCE).sqrt(), weights
