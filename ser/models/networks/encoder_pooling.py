"""Attentive pooling over the mixed states of a speech encoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser.features.validation import FractionBelowOne, Positive
from ser.models.attention import AttentivePooling
from ser.models.normalisation import frame_mask


class EncoderPooling(nn.Module):
    """A linear layer on each state, then attentive mean and deviation.

    Parameters
    ----------
    n_features : numbers of a state (768 of a `base` encoder).
    n_classes : columns of the output.
    hidden : units of the linear layer.
    attention_hidden : units of the layer that scores a state.
    dropout : before the linear layer and before the last one. In [0, 1).
    """

    per_band = True

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        hidden: Positive = 256,
        attention_hidden: Positive = 64,
        dropout: FractionBelowOne = 0.2,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(n_features, hidden)
        self.pooling = AttentivePooling(hidden, attention_hidden)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(2 * hidden, n_classes)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [batch, classes] and attention weights [batch, frames], 0 where padded; both float32.

        Parameters
        ----------
        features : float32 [batch, features, frames].
        lengths : int64 [batch], frames of each recording before the padding.
        """
        states = F.relu(self.project(self.dropout(features.transpose(1, 2))))  # [b, frames, hidden]
        mean, deviation, weights = self.pooling(states, frame_mask(lengths, features.shape[2]))
        return self.classify(self.dropout(torch.cat([mean, deviation], dim=1))), weights


NETWORK = EncoderPooling
