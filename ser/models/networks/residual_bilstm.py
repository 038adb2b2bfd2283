"""Residual convolutions over the log-mel spectrogram, a bidirectional LSTM, attentive pooling.

Padding has no weight anywhere: the logits of a recording do not depend on what it is padded to.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ser.features.validation import FractionBelowOne, ListOf, Positive
from ser.models.attention import AttentivePooling
from ser.models.normalisation import frame_mask

_STEM_STRIDE = (4, 2)
_BLOCK_STRIDES = ((2, 1), (2, 2))
_BANDS_PER_ROW = 16
"""Bands that one row of the last maps stands for: the product of the strides in frequency."""
_FRAMES_PER_STATE = 4
"""Frames that one state of the LSTM stands for: the product of the strides in time."""


class ResidualBiLstm(nn.Module):
    """Residual convolutions in time and frequency, a bidirectional LSTM, attentive mean and deviation.

    Parameters
    ----------
    n_features : bands of the spectrogram, neighbours in frequency (64 in the recipe `logmel_resbilstm`).
    n_classes : columns of the output.
    channels : of the stem and the first block, and of the second block.
    lstm_hidden : units of each direction of the LSTM.
    attention_hidden : units of the layer that scores a frame.
    block_dropout : within a block; dropout : before the LSTM and before the last linear layer. In [0, 1).
    """

    per_band = True
    min_frames = 2 * _FRAMES_PER_STATE

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        channels: Annotated[ListOf[Positive], Field(min_length=2, max_length=2)] = (32, 64),
        lstm_hidden: Positive = 64,
        attention_hidden: Positive = 64,
        block_dropout: FractionBelowOne = 0.1,
        dropout: FractionBelowOne = 0.3,
    ) -> None:
        super().__init__()
        first, second = channels
        rows = -(-n_features // _BANDS_PER_ROW)
        hidden = lstm_hidden
        self.stem = nn.Conv2d(1, first, kernel_size=(7, 5), stride=_STEM_STRIDE, padding=(3, 2), bias=False)
        self.stem_norm = nn.BatchNorm2d(first)
        self.blocks = nn.ModuleList(
            ResidualBlock(first, n_out, stride=stride, dropout=block_dropout)
            for n_out, stride in zip(channels, _BLOCK_STRIDES, strict=True)
        )
        self.project = nn.Conv1d(second * rows, 2 * hidden, kernel_size=1, bias=False)
        self.project_norm = nn.BatchNorm1d(2 * hidden)
        self.forwards = nn.LSTM(2 * hidden, hidden, batch_first=True)
        self.backwards = nn.LSTM(2 * hidden, hidden, batch_first=True)
        self.pooling = AttentivePooling(2 * hidden, attention_hidden)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(4 * hidden, n_classes)
        # Half as fast again on a CPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, but in no stub

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and attention weights; shapes in comments are those of the recipe `logmel_resbilstm`.

        Parameters
        ----------
        features : float32 [batch, bands, frames], normalised per band, 0 where padded.
        lengths : int64 [batch], frames of each recording before the padding.

        Returns
        -------
        logits : float32 [batch, classes]
        weights : float32 [batch, ceil(frames / 4)], one for every four frames, summing to 1, 0 where padded.
        """
        embedding, weights = self.embed(features, lengths)  # [b, 256], [b, 64]
        return self.classify(self.dropout(embedding)), weights

    def embed(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the last layer classifies, float32 [batch, 4 * lstm_hidden], and attention weights."""
        states, mask = self._convolve(features, lengths)  # [b, 128, 64], [b, 64]
        states = self._recur(states.transpose(1, 2), mask)  # [b, 64, 128]
        mean, deviation, weights = self.pooling(states, mask)  # [b, 128], [b, 128], [b, 64]
        return torch.cat([mean, deviation], dim=1), weights

    def _convolve(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        maps = features.unsqueeze(1).contiguous(memory_format=torch.channels_last)  # [b, 1, 64, 256]
        mask = frame_mask(lengths, features.shape[2])[:, :: _STEM_STRIDE[1]]  # [b, 128]
        maps = F.relu(self.stem_norm(self.stem(maps))) * mask[:, None, None]  # [b, 32, 16, 128]
        for block, (_, stride) in zip(self.blocks, _BLOCK_STRIDES, strict=True):
            mask = mask[:, ::stride]
            maps = block(maps, mask[:, None, None])  # [b, 32, 8, 128], [b, 64, 4, 64]
        return self.dropout(F.relu(self.project_norm(self.project(maps.flatten(1, 2))))), mask  # [b, 128, 64]

    def _recur(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return the states of both directions, [b, frames, 2 hidden]; the second one begins at a recording's end.

        A bidirectional LSTM of PyTorch would begin in the padding.
        """
        places = torch.arange(states.shape[1], device=states.device)  # [frames]
        mirrored = mask.sum(dim=1, keepdim=True) - 1 - places  # [b, frames], negative in the padding
        mirrored = torch.where(mirrored < 0, places, mirrored).unsqueeze(2).expand_as(states)
        there, _ = self.forwards(states)
        back, _ = self.backwards(states.gather(1, mirrored))
        return torch.cat([there, back.gather(1, mirrored[..., : back.shape[2]])], dim=2)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, n_in: int, n_out: int, *, stride: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, kernel_size=3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(n_out)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Conv2d(n_out, n_out, kernel_size=3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(n_out)
        self.stride = stride
        # Without a stride of its own: one of 1 x 1 with a stride, channels last and fewer than 16 channels, writes past
        # its memory in the backward pass (oneDNN issue 6035).
        self.shortcut = nn.Conv2d(n_in, n_out, kernel_size=1, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(n_out)

    def forward(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Map float32 [batch, n_in, bands, frames] to [batch, n_out, bands', frames'], 0 where `mask` is false.

        `mask` is bool [batch, 1, 1, frames'].
        """
        inner = self.dropout(F.relu(self.first_norm(self.first(maps)))) * mask
        inner = self.second_norm(self.second(inner))
        bands, frames = self.stride
        # Bands are averaged, frames left out: a mean over frames would reach into the padding.
        outer = F.avg_pool2d(maps, (bands, 1), ceil_mode=True)[..., ::frames]
        return F.relu(inner + self.shortcut_norm(self.shortcut(outer))) * mask


NETWORK = ResidualBiLstm
