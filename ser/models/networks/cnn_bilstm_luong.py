"""The baseline network: two convolutions, a bidirectional LSTM, Luong attention."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ser.features.validation import FractionBelowOne, ListOf, Positive
from ser.models.attention import LuongDotAttention


class CnnBiLstmLuong(nn.Module):
    """CNN-BiLSTM with Luong attention; the defaults are those of the reference implementation.

    Parameters
    ----------
    n_features : rows of the input (187 in the baseline recipe).
    n_classes : columns of the output.
    conv_channels : output channels of the two convolutions.
    lstm_hidden : units of each direction; lstm_layers : stacked layers.
    lstm_dropout : between the LSTM's layers; dropout : before the last linear layer. In [0, 1).
    """

    per_band = False
    min_frames = 2  # the pooling halves the frames, and one must be left

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        conv_channels: Annotated[ListOf[Positive], Field(min_length=2, max_length=2)] = (64, 128),
        lstm_hidden: Positive = 128,
        # A stranger's file may hold any number; a network of a billion layers would be built for ever.
        lstm_layers: Annotated[int, Field(ge=1, le=16)] = 2,
        lstm_dropout: FractionBelowOne = 0.5,
        dropout: FractionBelowOne = 0.5,
    ) -> None:
        super().__init__()
        first, second = conv_channels
        self.convolutions = nn.Sequential(
            nn.Conv1d(n_features, first, kernel_size=3, padding=1),
            nn.BatchNorm1d(first),
            nn.ReLU(),
            nn.Conv1d(first, second, kernel_size=3, padding=1),
            nn.BatchNorm1d(second),
            nn.ReLU(),
            nn.MaxPool1d(2),
        )
        # One layer has nothing between layers to drop, and PyTorch warns about it.
        between = lstm_dropout if lstm_layers > 1 else 0.0
        self.lstm = nn.LSTM(second, lstm_hidden, lstm_layers, batch_first=True, bidirectional=True, dropout=between)
        self.attention = LuongDotAttention()
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(4 * lstm_hidden, n_classes)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and attention weights.

        Parameters
        ----------
        features : float32 [batch, features, frames], normalised; shapes below are those of the baseline recipe.
        lengths : int64 [batch]; not used: the reference implementation treats padding as sound.

        Returns
        -------
        logits : float32 [batch, classes]
        weights : float32 [batch, frames // 2], one for every two frames, summing to 1.
        """
        maps = self.convolutions(features)  # [b, 187, 216] -> [b, 128, 108]
        states, (final, _) = self.lstm(maps.transpose(1, 2))  # [b, 108, 256], [layers * 2, b, 128]
        query = torch.cat([final[-2], final[-1]], dim=1)  # the last layer's two directions: [b, 256]
        context, weights = self.attention(query, states)  # [b, 256], [b, 108]
        embedding = torch.cat([context, query], dim=1)  # [b, 512]
        return self.classify(self.dropout(embedding)), weights  # [b, 8], [b, 108]


NETWORK = CnnBiLstmLuong
