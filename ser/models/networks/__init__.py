"""A network a file. The name of the file is the name of the network in configurations and in the metadata of models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What each file here defines as `ARCHITECTURE`: a network, its settings, and what it takes.

    Attributes
    ----------
    network : called with its settings, `n_features` and `n_classes`; maps float32 [batch, features, frames] and lengths
        int64 [batch] to logits float32 [batch, classes] and attention weights float32 [batch, frames'].
    settings : the class of its settings. A field `fusion_weight` above 0 asks for an utterance-level head.
    per_band : whether features are normalised per band, for inputs of any length, or per coefficient, padding
        included, for inputs of exactly `max_length` frames (see `ser.models.normalisation`).
    min_frames : the fewest frames that the network can take.
    """

    network: Callable[..., nn.Module]
    settings: type[Any]
    per_band: bool
    min_frames: int
