"""Speaker context: what a model knows of a person from other, unlabelled recordings of theirs.

A model that takes context makes a summary of each recording, a vector. The context of a recording is a vector too: the
number of other recordings of the speaker, the mean of their summaries, and the variance of their summaries (of the
population: divided by the number). Of no recording, all of it is 0. So recordings may come one by one, in any order,
and nothing of them but these numbers is kept.
"""

import torch
from torch import Tensor


def no_context(n: int, n_summary: int) -> Tensor:
    """Return the context of `n` recordings whose speakers nothing is known of: zeros [n, 1 + 2 * n_summary]."""
    return torch.zeros(n, 1 + 2 * n_summary)


def context_of(summaries: Tensor, members: Tensor) -> Tensor:
    """Return float32 [recordings, 1 + 2 * n_summary], the contexts that a matrix of membership describes.

    Parameters
    ----------
    summaries : float32 [others, n_summary].
    members : bool [recordings, others], which of the others are in the context of each recording.
    """
    members = members.to(summaries.dtype)
    number = members.sum(dim=1, keepdim=True)  # [recordings, 1]
    share = members / number.clamp(min=1)
    mean = share @ summaries  # [recordings, n_summary]
    variance = (share @ summaries.square() - mean.square()).clamp(min=0)
    return torch.cat([number, mean, variance], dim=1)


def split_context(context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return number [batch, 1], mean and variance, both [batch, n_summary], of float32 [batch, 1 + 2 * n_summary]."""
    n_summary = context.shape[1] // 2
    return context[:, :1], context[:, 1 : 1 + n_summary], context[:, 1 + n_summary :]
