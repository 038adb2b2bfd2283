"""The networks by name, and the recogniser that is built of one.

A checkpoint names a network; only the files of `ser.models.networks`, and the classes that a caller hands in, mean
anything, so nothing that a stranger wrote into a file decides what is built.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module

from torch import nn

from ser.errors import SettingsError
from ser.features.settings import FeatureSettings
from ser.features.signatures import check_arguments
from ser.features.validation import suggestion
from ser.models import networks
from ser.models.encoder import Encoder, LayerMix
from ser.models.encoder_metadata import check_features
from ser.models.functionals import N_GROUPS, N_PITCH
from ser.models.metadata import ModelMetadata
from ser.models.normalisation import Normalisation
from ser.models.recogniser import Recogniser
from ser.models.utterance_heads import FunctionalsHead, KernelHead


def find_networks() -> dict[str, type[nn.Module]]:
    """Return the networks of the files in `ser.models.networks`: name -> class."""
    files = [file.name for file in pkgutil.iter_modules(networks.__path__) if not file.name.startswith("_")]
    return {name: import_module(f"{networks.__name__}.{name}").NETWORK for name in files}


NETWORKS = find_networks()
"""Name -> class."""

GIVEN = ("n_features", "n_classes")
"""The arguments of a network that follow from features and classes."""

HEAD_GROUPS = ("logmel", "pitch")
"""The groups of features that an utterance-level head takes, in this order."""


def network_name(network: type[nn.Module]) -> str:
    """Return the name of a network in metadata: its file's, of a class from outside the name of the class."""
    return next((name for name, known in NETWORKS.items() if known is network), network.__name__)


def is_per_band(network: type[nn.Module]) -> bool:
    """Whether the network takes features that are normalised per band."""
    return bool(getattr(network, "per_band", False))


def check_network(network: type[nn.Module], metadata: ModelMetadata) -> None:
    """Check the arguments of `build_recogniser` without building anything.

    Raises
    ------
    SettingsError : an unknown or bad setting, fewer frames than the network can take, bands that the utterance-level
        head cannot group, or features and a network that are not for an encoder.
    """
    check_arguments(network, metadata.network, where="model.network", given=GIVEN)
    if (name := getattr(network, "__name__", "")) in NETWORKS:
        raise SettingsError(f"{name} is the name of a network of this package; give your class another.")
    features, least = metadata.features, getattr(network, "min_frames", 1)
    if features.max_length < least:
        raise SettingsError(
            f"features.max_length is {features.max_length}, but {network_name(network)} needs at least {least} frames."
        )
    if metadata.encoder is not None:
        check_features(features, metadata.encoder)
        check_on_encoder(network)
    groups = getattr(network, "groups", None)
    if groups is not None and features.groups != groups:
        raise SettingsError(
            f"{network_name(network)} needs features.groups=[{','.join(groups)}], but it is {list(features.groups)}."
        )
    if groups is not None and features.n_mels % N_GROUPS:
        raise SettingsError(_bands_that_make_groups(network_name(network), features))
    if metadata.utterance_head is None:
        return
    if not is_per_band(network):
        raise SettingsError(f"model.utterance_head is not for {network_name(network)}; give model.utterance_head=null.")
    if features.groups != HEAD_GROUPS:
        raise SettingsError(
            f"model.utterance_head needs features.groups=[{','.join(HEAD_GROUPS)}], but it is {list(features.groups)}: "
            "give these groups, or model.utterance_head=null."
        )
    if features.n_mels % N_GROUPS:
        message = _bands_that_make_groups("model.utterance_head", features)
        raise SettingsError(f"{message}; model.utterance_head=null does without.")


def _bands_that_make_groups(who: str, features: FeatureSettings) -> str:
    return (
        f"{who} needs features.groups=[logmel,pitch] and a multiple of {N_GROUPS} bands (features.n_mels), but the "
        f"features have {features.n_features} rows"
    )


def check_on_encoder(network: type[nn.Module]) -> None:
    """Refuse a network of inputs of one length; those of an encoder are as long as the recordings."""
    if not is_per_band(network):
        raise SettingsError(
            f"model.network is {network_name(network)}, which takes recordings of one length, but model.encoder needs "
            "one that normalises per band: give model/network=encoder_pooling or encoder_bilstm_luong."
        )


def find_network(name: str, own: Mapping[str, type[nn.Module]] | None = None) -> type[nn.Module]:
    """Return the network of a name in metadata: one of ours, or of a caller's own.

    Raises
    ------
    SettingsError : there is none.
    """
    known = {**(own or {}), **NETWORKS}
    if name not in known:
        raise SettingsError(
            f"architecture is {name!r}, which this package does not have; one of your own is handed in as networks="
            f"{{{name!r}: <its class>}}, by --network {name}=<module>.<class>, to `ser evaluate` by "
            f"+networks.{name}=<module>.<class>; {suggestion(name, known)}."  # last, because a list may be cut
        )
    return known[name]


def build_recogniser(metadata: ModelMetadata, own: Mapping[str, type[nn.Module]] | None = None) -> Recogniser:
    """Build the recogniser of the metadata, with fresh weights and a normalisation that changes nothing yet.

    Raises
    ------
    SettingsError : as `find_network` and `check_network`.
    """
    network = find_network(metadata.architecture, own)
    check_network(network, metadata)
    settings = check_arguments(network, metadata.network, where="model.network", given=GIVEN)
    n_classes, n_features = len(metadata.class_names), metadata.features.n_features
    n_rows = n_features if metadata.utterance_head is None else n_features - N_PITCH
    encoder = metadata.encoder
    if encoder is not None:
        n_rows = encoder.n_hidden
    head: type[FunctionalsHead] | type[KernelHead] | None = None
    if metadata.utterance_head is not None:
        head = KernelHead if metadata.utterance_head == "kernel" else FunctionalsHead
    return Recogniser(
        Normalisation(n_rows, max_length=None if is_per_band(network) else metadata.features.max_length),
        network(n_features=n_rows, n_classes=n_classes, **settings),
        utterance_head=head(n_bands=n_rows, n_classes=n_classes) if head else None,
        fusion_weight=metadata.fusion_weight if head else 0.0,
        layer_mix=LayerMix(encoder.n_layers) if encoder else None,
        encoder=Encoder(encoder) if encoder and encoder.trainable else None,
    )
