"""The settings that a fine-tuning takes from its initial model.

Apart from `ser.training.configuration`, because it needs torch, which a command of Hydra loads only once it has said
how threads of torch shall wait.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, open_dict
from torch import nn

from ser.errors import SettingsError
from ser.features.validation import as_plain
from ser.models.networks.context_bilstm import ContextBiLstm
from ser.models.registry import NETWORKS, find_network, network_name
from ser.training.components import TARGET, find_class
from ser.training.config import with_own_parts
from ser.training.configuration import plain
from ser.training.fine_tuning import load_initial
from ser.training.overrides import override_key

_RECORDINGS_PER_SPEAKER = 4
"""In a batch, where the initial model takes speaker context: small corpora are fine-tuned in small batches."""


def fit_to_initial_model(configuration: DictConfig, overrides: Sequence[str]) -> None:
    """Where `init_from` names a model, take its features and its network in place of those of `configuration`.

    What an override gives for itself stays: `features.backend` and `model.fusion_weight`. A model that takes speaker
    context needs batches of several recordings of a speaker, so `data.recordings_per_speaker` is set where it is null.

    Raises
    ------
    CheckpointError : as `load_initial`.
    SettingsError : an override asks for other features or another network than that model has.
    """
    source = configuration.get("init_from")
    if source is None:
        return
    values = with_own_parts(plain(configuration))
    network = find_class(values["model"]["network"], nn.Module, where="model.network")
    own = {} if (name := network_name(network)) in NETWORKS else {name: network}
    initial = load_initial(str(source), networks=own, feature_groups=values["features"].get("own_groups"))
    metadata = as_plain(initial.metadata)
    target = find_network(initial.metadata.architecture, own)
    features = {key: value for key, value in metadata["features"].items() if key != "backend"}
    model = {
        "network": {TARGET: f"{target.__module__}.{target.__qualname__}", **metadata["network"]},
        "utterance_head": metadata["utterance_head"],
    }
    _refuse_contradictions(configuration, overrides, {"features": features, "model": model}, source=str(source))
    given = set(map(override_key, overrides))
    if metadata["utterance_head"] is not None and "model.fusion_weight" not in given:
        model["fusion_weight"] = metadata["fusion_weight"]
    with open_dict(configuration):
        if issubclass(target, ContextBiLstm) and configuration.data.recordings_per_speaker is None:
            configuration.data.recordings_per_speaker = _RECORDINGS_PER_SPEAKER
        configuration.features.update(features)
        configuration.model.network = model.pop("network")
        configuration.model.update(model)


def _refuse_contradictions(
    configuration: DictConfig, overrides: Sequence[str], of_model: Mapping[str, Any], *, source: str
) -> None:
    ours, theirs = plain(configuration), dict(_leaves(of_model))
    decided = {"features": ours["features"], "model": {key: ours["model"].get(key) for key in of_model["model"]}}
    decided["features"].pop("own_groups", None)  # no part of a model
    for key, value in _leaves(decided):
        if key in theirs and theirs[key] == value:
            continue
        for override in overrides:
            given = override_key(override).partition("@")[0].replace("/", ".")
            if f"{key}.".startswith(f"{given}."):
                has = f"has {theirs[key]!r}" if key in theirs else "has no such setting"
                raise SettingsError(
                    f"{key} is {value!r}, but the model that init_from={source} names {has}; leave out {override}."
                )


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif f"{prefix}{key}" != "features.backend":
            yield f"{prefix}{key}", value
