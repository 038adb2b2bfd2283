"""The architectures by name.

A configuration or a checkpoint names an architecture; only the files of `ser.models.networks` mean anything, so nothing
that a stranger wrote into a file decides what is built.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ser.errors import SettingsError
from ser.features.validation import read_settings, suggestion
from ser.models import networks
from ser.models.functionals import N_GROUPS, N_PITCH
from ser.models.networks import Architecture
from ser.models.normalisation import Normalisation
from ser.models.recogniser import Recogniser
from ser.models.utterance_heads import FunctionalsHead, KernelHead

ARCHITECTURES: dict[str, Architecture] = {
    file.name: import_module(f"{networks.__name__}.{file.name}").ARCHITECTURE
    for file in pkgutil.iter_modules(networks.__path__)
    if not file.name.startswith("_")
}
"""Name -> architecture."""


def check_architecture(name: str, settings: Mapping[str, Any], *, n_features: int, max_length: int) -> float:
    """Check the arguments of `build_recogniser`; return the fusion weight of the utterance-level head, 0 without one.

    Raises
    ------
    SettingsError : an unknown name, an unknown or bad setting, fewer frames than the network can take, or bands that
        its utterance-level head cannot group.
    """
    if name not in ARCHITECTURES:
        raise SettingsError(f"model.name is {name!r}; {suggestion(name, ARCHITECTURES)}.")
    architecture = ARCHITECTURES[name]
    weight = getattr(read_settings(architecture.settings, settings, where="model.network"), "fusion_weight", 0.0)
    least = architecture.min_frames
    if max_length < least:
        raise SettingsError(f"features.max_length is {max_length}, but model {name} needs at least {least} frames.")
    n_bands = n_features - N_PITCH
    if weight and (n_bands < N_GROUPS or n_bands % N_GROUPS):
        raise SettingsError(
            f"model.network.fusion_weight needs features.groups=[logmel,pitch] and a multiple of {N_GROUPS} bands "
            f"(features.n_mels), but the features have {n_features} rows; model.network.fusion_weight=0 does without."
        )
    return float(weight)


def build_recogniser(
    name: str, settings: Mapping[str, Any], *, n_features: int, max_length: int, n_classes: int
) -> Recogniser:
    """Build the recogniser of an architecture, with fresh weights and a normalisation that changes nothing yet.

    Raises
    ------
    SettingsError : as `check_architecture`.
    """
    weight = check_architecture(name, settings, n_features=n_features, max_length=max_length)
    architecture = ARCHITECTURES[name]
    network_settings = read_settings(architecture.settings, settings, where="model.network")
    n_rows = n_features - N_PITCH if weight else n_features
    head = KernelHead if getattr(network_settings, "kernel", False) else FunctionalsHead
    return Recogniser(
        Normalisation(n_rows, max_length=None if architecture.per_band else max_length),
        architecture.network(network_settings, n_features=n_rows, n_classes=n_classes),
        utterance_head=head(n_bands=n_rows, n_classes=n_classes) if weight else None,
        fusion_weight=weight,
    )
