"""The networks, by name. Plain `torch.nn.Module`s: no Lightning, no Hydra.

A configuration or a checkpoint names an architecture; only the names below mean anything, so nothing that a
stranger wrote into a file decides what is built.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ser.errors import SettingsError
from ser.features.validation import read_settings, suggestion
from ser.models.cnn_bilstm_luong import CnnBiLstmLuong, CnnBiLstmLuongSettings
from ser.models.functionals import N_GROUPS, N_PITCH, FunctionalsHead
from ser.models.kernel import KernelHead
from ser.models.residual_bilstm import ResidualBiLstm, ResidualBiLstmSettings
from ser.models.standardiser import Standardiser

ARCHITECTURES = {
    "cnn_bilstm_luong": (CnnBiLstmLuong, CnnBiLstmLuongSettings),
    "residual_bilstm": (ResidualBiLstm, ResidualBiLstmSettings),
}
"""Name -> (network, its settings). A new architecture is a file beside this one and a line here.

A network says of itself how few frames it can take (`min_frames`), and how its features are standardised (`per_band`).
False: each feature in each frame on its own, padding included, as in the original recipe; every input then has
`max_length` frames. True: each feature over all frames that are not padding; inputs may be of any length, padding is 0,
and the network is told by a mask which frames are real.
"""


class Recogniser(nn.Module):
    """A standardiser and a network: raw features in, logits and attention weights out.

    Parameters
    ----------
    utterance_head : a second opinion on the same features, which then end with the rows of `ser.features.pitch`.
    fusion_weight : of the second opinion in the answer, 0 to 1.
    """

    def __init__(
        self,
        standardiser: Standardiser,
        network: nn.Module,
        *,
        utterance_head: FunctionalsHead | KernelHead | None = None,
        fusion_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.standardiser = standardiser
        self.network = network
        self.utterance_head = utterance_head
        self.fusion_weight = fusion_weight

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map float32 [batch, features, frames] to logits [batch, classes] and weights [batch, frames'].

        Frames of zeros at the end are padding. Two opinions are joined as the weighted mean of their log-probabilities.
        """
        logits, weights = self.network_logits(features)
        if self.utterance_head is None:
            return logits, weights
        second = self.utterance_head(features, real_frames(features))
        joined = (1 - self.fusion_weight) * F.log_softmax(logits, dim=1) + self.fusion_weight * F.log_softmax(
            second, dim=1
        )
        return joined, weights

    def network_logits(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the network's own answer, as `forward` does."""
        if not self.network.per_band:
            return self.network(self.standardiser(features))
        return self.network(*self.standardise(self.network_features(features)))

    def network_features(self, features: Tensor) -> Tensor:
        """Return those rows of the features that the network is given."""
        return features if self.utterance_head is None else features[:, : self.utterance_head.n_bands]

    def standardise(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a network that standardises by band is given: its features, 0 where padded, and the mask."""
        mask = real_frames(features)  # [b, frames]
        return self.standardiser(features) * mask.unsqueeze(1), mask


def real_frames(features: Tensor) -> Tensor:
    """Return which frames of float32 [batch, features, frames] are not padding, bool [batch, frames]."""
    return (features != 0).any(dim=1)


def normalises_per_band(name: str) -> bool:
    """Whether the architecture's features are standardised by band (see `ARCHITECTURES`)."""
    network, _ = ARCHITECTURES[name]
    return network.per_band


def check_architecture(name: str, settings: Mapping[str, Any], *, n_features: int, max_length: int) -> None:
    """Check what `build_recogniser` will be given, without building it.

    Raises
    ------
    SettingsError : an unknown name, an unknown or bad setting, fewer frames than the architecture can take, or bands
        that its second opinion cannot group.
    """
    if name not in ARCHITECTURES:
        raise SettingsError(f"model.name is {name!r}; {suggestion(name, ARCHITECTURES)}.")
    network, settings_class = ARCHITECTURES[name]
    read_settings(settings_class, settings, where="model.network")
    if max_length < network.min_frames:
        raise SettingsError(
            f"features.max_length is {max_length}, but model {name} needs at least {network.min_frames} frames."
        )
    n_bands = n_features - N_PITCH
    if fusion_weight(name, settings) and (n_bands < N_GROUPS or n_bands % N_GROUPS):
        raise SettingsError(
            f"model.network.fusion_weight needs features.groups=[logmel,pitch] and a multiple of {N_GROUPS} bands "
            f"(features.n_mels), but the features have {n_features} rows; model.network.fusion_weight=0 does without."
        )


def build_recogniser(
    name: str, settings: Mapping[str, Any], *, n_features: int, max_length: int, n_classes: int
) -> Recogniser:
    """Build the recogniser of that architecture, with fresh weights and a standardiser that changes nothing yet.

    Raises
    ------
    SettingsError : as `check_architecture`.
    """
    check_architecture(name, settings, n_features=n_features, max_length=max_length)
    network, settings_class = ARCHITECTURES[name]
    network_settings = read_settings(settings_class, settings, where="model.network")
    weight = fusion_weight(name, settings)
    n_rows = n_features - N_PITCH if weight else n_features
    head = KernelHead if getattr(network_settings, "kernel", False) else FunctionalsHead
    return Recogniser(
        Standardiser((n_rows, 1 if network.per_band else max_length)),
        network(network_settings, n_features=n_rows, n_classes=n_classes),
        utterance_head=head(n_bands=n_rows, n_classes=n_classes) if weight else None,
        fusion_weight=weight,
    )


def fusion_weight(name: str, settings: Mapping[str, Any]) -> float:
    """Return how much the second opinion of that architecture counts (`ser.models.functionals`); 0: it has none."""
    _, settings_class = ARCHITECTURES[name]
    return getattr(read_settings(settings_class, settings, where="model.network"), "fusion_weight", 0.0)
