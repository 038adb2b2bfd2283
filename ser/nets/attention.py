"""Luong attention: which frames a decision leans on (Luong, Pham and Manning 2015, arXiv:1508.04025)."""

import torch
from torch import Tensor, nn


class LuongDotAttention(nn.Module):
    """Global attention with the dot score: softmax over time of the query's product with every state."""

    def forward(self, query: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return the context and the weights.

        Parameters
        ----------
        query : float32 [batch, hidden]
        states : float32 [batch, frames, hidden]

        Returns
        -------
        context : float32 [batch, hidden], the weighted mean of the states.
        weights : float32 [batch, frames], not negative, summing to 1 over the frames.
        """
        scores = torch.bmm(states, query.unsqueeze(2)).squeeze(2)  # [batch, frames]
        weights = torch.softmax(scores, dim=1)  # [batch, frames]
        context = torch.bmm(weights.unsqueeze(1), states).squeeze(1)  # [batch, hidden]
        return context, weights
