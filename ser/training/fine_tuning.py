"""Fine-tuning: weights taken from a trained model, layers that stay what they are, and which layer is the head."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ser.errors import CheckpointError, SettingsError
from ser.features.validation import as_plain, suggestion
from ser.inference.checkpoint import ENTRY, Networks, read_checkpoint
from ser.inference.metadata_file import ONNX, SAFETENSORS, digest_of
from ser.inference.pretrained import find_model
from ser.inference.run_folder import CHECKPOINTS, find_checkpoint
from ser.inference.torch_backend import load_torch_scorer
from ser.models.metadata import FeatureGroups, InitialModel, ModelMetadata, read_metadata
from ser.models.recogniser import Recogniser
from ser.models.registry import build_recogniser

BODY = "body"
"""What `model.freeze` calls all layers but those with a row for each class."""
_NETWORK = "network."
_OF_THE_MODEL = ("architecture", "network", "utterance_head", "features")
"""The metadata that weights fit to."""


@dataclass(frozen=True, kw_only=True)
class Initial:
    """The model that a run starts from: its recogniser, its metadata, and what is kept of it in those of the run."""

    recogniser: Recogniser
    metadata: ModelMetadata
    entry: InitialModel


def load_initial(
    source: str, *, networks: Networks | None = None, feature_groups: FeatureGroups | None = None
) -> Initial:
    """Return the model that `init_from` names: a pretrained one, a run's folder, a checkpoint or a .safetensors file.

    Parameters
    ----------
    networks, feature_groups : those of one's own that it was trained with, by name.

    Raises
    ------
    CheckpointError : there is none, it cannot be read, it has no weights for PyTorch, or it has a speech encoder.
    """
    path = find_model(source)
    if path.suffix == ONNX:  # of a pretrained model it is found first, because it runs without torch
        if not (beside := path.with_suffix(SAFETENSORS)).is_file():
            raise CheckpointError(
                f"init_from is {source}, an .onnx file, which cannot be trained; give the checkpoint or the "
                ".safetensors file that it was exported from."
            )
        path = beside
    path = path if path.suffix == SAFETENSORS else find_checkpoint(path)
    scorer, metadata = load_torch_scorer(path, networks=networks, feature_groups=feature_groups)
    if metadata.encoder is not None:
        raise CheckpointError(f"init_from is {source}, a model with a speech encoder, which cannot be fine-tuned yet.")
    entry = InitialModel(name=_name_of(path), sha256=digest_of(path.read_bytes()), protocol=metadata.protocol)
    return Initial(recogniser=scorer.recogniser, metadata=metadata, entry=entry)


def initial_of_resumed(checkpoint: Path, feature_groups: FeatureGroups | None = None) -> InitialModel:
    """Return what a checkpoint of a fine-tuned model says of its initial model, which need not be there any more.

    Raises
    ------
    CheckpointError : it says nothing, or cannot be read.
    """
    entry = read_metadata(read_checkpoint(checkpoint)[ENTRY], checkpoint, feature_groups).init_from
    if entry is None:
        raise CheckpointError(f"{checkpoint} was not fine-tuned, but the run's init_from says so; start anew.")
    return entry


def _name_of(path: Path) -> str:
    """Return the name of a model, without the folders of this machine above it."""
    if path.parent.name == CHECKPOINTS:
        return "/".join(path.absolute().parent.parent.parts[-2:])
    return path.stem if path.suffix == SAFETENSORS else path.name


def describe_fine_tuning(initial: InitialModel, protocol: str) -> str:
    """Return the protocol of a fine-tuned model: that of its own run, and that of the initial model.

    >>> initial = InitialModel(name="ser-ravdess", sha256="", protocol="Trained on all of RAVDESS.")
    >>> describe_fine_tuning(initial, "Random split.")
    'Fine-tuned from ser-ravdess: Random split. Before that, ser-ravdess: Trained on all of RAVDESS.'
    """
    return f"Fine-tuned from {initial.name}: {protocol} Before that, {initial.name}: {initial.protocol}"


def class_dimensions(metadata: ModelMetadata, networks: Networks | None = None) -> dict[str, int | None]:
    """Return the tensors of a recogniser whose shape depends on the number of classes.

    Name -> the dimension that has one place a class; None where there is no such dimension. They are found by
    comparison with a recogniser of one class more, so they are known of a network of one's own too.

    Parameters
    ----------
    networks : those of one's own, by name.

    Raises
    ------
    SettingsError : as `build_recogniser`.
    """
    n_classes = len(metadata.class_names)
    fewer, more = (_shapes(metadata, n, networks) for n in (n_classes, n_classes + 1))
    found: dict[str, int | None] = {}
    for name, shape in fewer.items():
        other = more.get(name, shape)
        if other != shape:
            grown = [at for at, (one, two) in enumerate(zip(shape, other, strict=False)) if one != two]
            is_one = len(shape) == len(other) and len(grown) == 1 and other[grown[0]] == shape[grown[0]] + 1
            found[name] = grown[0] if is_one else None
    return found


def _shapes(metadata: ModelMetadata, n_classes: int, networks: Networks | None) -> dict[str, torch.Size]:
    # Ours on "meta", where there is no memory; a network of one's own may not be made for that.
    device = "cpu" if metadata.architecture in (networks or {}) else "meta"
    named = replace(metadata, class_names=tuple(map(str, range(n_classes))))
    with torch.random.fork_rng(), torch.device(device):
        return {name: tensor.shape for name, tensor in build_recogniser(named, networks).state_dict().items()}


def take_weights(
    recogniser: Recogniser, metadata: ModelMetadata, initial: Initial, networks: Networks | None = None
) -> None:
    """Set the weights and statistics of a fresh recogniser to those of the initial model.

    A row of the head is that of the class of the same name; the rows of other classes stay fresh.

    Parameters
    ----------
    metadata : of `recogniser`.
    networks : those of one's own, by name.

    Raises
    ------
    CheckpointError : the initial model has other features or another network.
    """
    ours, theirs = as_plain(metadata), as_plain(initial.metadata)
    for key in _OF_THE_MODEL:
        if ours[key] != theirs[key]:
            raise CheckpointError(
                f"init_from names {initial.entry.name}, whose {key} is not that of this run (it was another model when "
                "the run began); start anew."
            )
    known = {name: place for place, name in enumerate(initial.metadata.class_names)}
    equal = [(new, known[name]) for new, name in enumerate(metadata.class_names) if name in known]
    to, of = (torch.tensor(places, dtype=torch.int64) for places in zip(*equal, strict=True)) if equal else (None, None)
    dimensions, old = class_dimensions(metadata, networks), initial.recogniser.state_dict()
    taken = {}
    for name, tensor in recogniser.state_dict().items():
        if name not in dimensions:
            taken[name] = old[name]
        elif (dimension := dimensions[name]) is not None and to is not None and of is not None:
            taken[name] = tensor.clone().index_copy_(dimension, to, old[name].index_select(dimension, of))
        else:
            taken[name] = old[name] if metadata.class_names == initial.metadata.class_names else tensor
    recogniser.load_state_dict(taken)


def body_weights(recogniser: Recogniser, metadata: ModelMetadata) -> list[nn.Parameter]:
    """Return the weights of the network but for those of its head, the layer with a row for each class."""
    head = class_dimensions(metadata, {metadata.architecture: type(recogniser.network)})
    return [weight for name, weight in recogniser.named_parameters() if name not in head]


def frozen_names(metadata: ModelMetadata, freeze: Sequence[str], networks: Networks | None = None) -> set[str]:
    """Return the names of the weights of the network that `freeze` names.

    Parameters
    ----------
    freeze : `BODY`, or beginnings of names, such as "stem" or "blocks.0".
    networks : those of one's own, by name.

    Raises
    ------
    SettingsError : the network has no weight of such a name, or none is left to train.
    """
    with torch.random.fork_rng(), torch.device("cpu" if metadata.architecture in (networks or {}) else "meta"):
        network = build_recogniser(metadata, networks).network
    names = [name for name, _ in network.named_parameters()]
    head = class_dimensions(metadata, networks)
    frozen = {name for name in names if BODY in freeze and _NETWORK + name not in head}
    for beginning in freeze:
        below = {name for name in names if f"{name}.".startswith(f"{beginning}.")}
        if not below and beginning != BODY:
            known = dict.fromkeys((BODY, *(name.partition(".")[0] for name in names)))
            raise SettingsError(
                f"model.freeze has {beginning!r}, of which the network has no weights; {suggestion(beginning, known)}."
            )
        frozen |= below
    if len(frozen) == len(names):
        raise SettingsError(f"model.freeze is {list(freeze)}, which leaves no weights to train; name fewer layers.")
    return frozen


def freeze_weights(network: nn.Module, names: Iterable[str]) -> None:
    """Keep the weights of these names from being trained."""
    named = dict(network.named_parameters())
    for name in names:
        named[name].requires_grad_(False)


def keep_frozen_statistics(network: nn.Module) -> None:
    """Put the batch normalisation of frozen layers in evaluation mode, so that its running statistics stay too."""
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            weights = list(layer.parameters())
            if weights and not any(weight.requires_grad for weight in weights):
                layer.eval()
