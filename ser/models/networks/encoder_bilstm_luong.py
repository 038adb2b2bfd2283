"""A bidirectional LSTM with Luong attention over the mixed states of a speech encoder."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ser.features.validation import FractionBelowOne, Positive
from ser.models.attention import LuongDotAttention
from ser.models.normalisation import frame_mask


class EncoderBiLstmLuong(nn.Module):
    """The recurrent part of the baseline network; here padding has no weight anywhere.

    Parameters
    ----------
    n_features : numbers of a state (768 of a `base` encoder).
    n_classes : columns of the output.
    lstm_hidden : units of each direction; lstm_layers : stacked layers.
    dropout : before the LSTM, between its layers and before the last linear layer. In [0, 1).
    """

    per_band = True

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        lstm_hidden: Positive = 128,
        lstm_layers: Annotated[int, Field(ge=1, le=16)] = 1,
        dropout: FractionBelowOne = 0.2,
    ) -> None:
        super().__init__()
        # One layer has nothing between layers to drop, and PyTorch warns about it.
        between = dropout if lstm_layers > 1 else 0.0
        self.lstm = nn.LSTM(n_features, lstm_hidden, lstm_layers, batch_first=True, bidirectional=True, dropout=between)
        self.attention = LuongDotAttention()
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(4 * lstm_hidden, n_classes)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [batch, classes] and attention weights [batch, frames], 0 where padded; both float32.

        Parameters
        ----------
        features : float32 [batch, features, frames].
        lengths : int64 [batch], frames of each recording before the padding.
        """
        inputs = self.dropout(features.transpose(1, 2))  # [b, frames, features]
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        found, (final, _) = self.lstm(packed)
        states, _ = pad_packed_sequence(found, batch_first=True, total_length=features.shape[2])
        query = torch.cat([final[-2], final[-1]], dim=1)  # the last layer's two directions: [b, 2 hidden]
        context, weights = self.attention(query, states, frame_mask(lengths, features.shape[2]))
        return self.classify(self.dropout(torch.cat([context, query], dim=1))), weights


NETWORK = EncoderBiLstmLuong
