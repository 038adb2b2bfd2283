"""The file that training writes, and the only way one is read: tensors and plain values, never code.

A checkpoint is Lightning's, so that training can resume from it, with one more entry: the metadata of the model,
from which the recogniser is built again with nothing else at hand.
"""

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from ser.data.files import write_bytes_atomically
from ser.errors import CheckpointError, SettingsError
from ser.inference.metadata_file import SAFETENSORS, metadata_path
from ser.inference.run_folder import find_checkpoint
from ser.models.metadata import FeatureGroups, ModelMetadata, read_metadata
from ser.models.recogniser import Recogniser
from ser.models.registry import build_recogniser

Networks = Mapping[str, type[nn.Module]]

ENTRY = "ser"
"""The key of the metadata in a checkpoint."""
PREFIX = "recogniser."
"""Prefix of the recogniser's weights in a checkpoint: it is this attribute of the Lightning module."""

HYPER_PARAMETERS = "hyper_parameters"


def save_atomically(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint in its own folder and move it into place when it is complete.

    Raises
    ------
    OSError : it cannot be written, such as to a full disk; names `path`.
    """
    whole = io.BytesIO()  # torch's own writer turns a full disk into a RuntimeError about positions
    torch.save(dict(content), whole)
    write_bytes_atomically(path, whole.getbuffer())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the file of a checkpoint of this project as tensors and plain values.

    Raises
    ------
    CheckpointError : missing, damaged, holding code, or not written by this project.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # torch stores its members uncompressed; compressed ones could unpack to any size.
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
            # Of two members of one name, which one torch reads depends on how many others there are.
            stored = stored and len(set(archive.namelist())) == len(archive.namelist())
            # torch writes checksums but never reads them: a flipped bit is a wrong weight.
            intact = stored and archive.testzip() is None
        # weights_only, stated here: no class of a file's choosing is ever built, no code of a file's ever runs.
        content = torch.load(path, map_location="cpu", weights_only=True) if intact else None
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} was refused: it is not a file of tensors and plain values alone.") from error
    # Damage shows as errors of every kind, torch's own assertions among them, by where in the archive it lies.
    except Exception as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint ({type(error).__name__}).") from error
    if not intact:
        raise CheckpointError(f"{path} is damaged or not a checkpoint (its checksums do not fit).")
    if not isinstance(content, dict) or not isinstance(content.get(ENTRY), Mapping):
        raise CheckpointError(f"{path} is not a checkpoint of this project; train one with `ser train`.")
    if HYPER_PARAMETERS in content:  # from which Lightning's own loader would build what they name
        raise CheckpointError(
            f"{path} was refused: it holds {HYPER_PARAMETERS}, which no checkpoint of this project has."
        )
    return content


def load_recogniser(
    path: Path,
    *,
    networks: Networks | None = None,
    feature_groups: FeatureGroups | None = None,
) -> tuple[Recogniser, ModelMetadata]:
    """Return the recogniser of a checkpoint, or a run's best one, in evaluation mode on the CPU, and its metadata.

    Parameters
    ----------
    networks, feature_groups : those of one's own that the model was trained with, by name.

    Raises
    ------
    CheckpointError : as `find_checkpoint`, `read_checkpoint` and `recogniser_with`.
    """
    path = find_checkpoint(path)
    content = read_checkpoint(path)
    metadata = read_metadata(content[ENTRY], path, feature_groups)
    return recogniser_with(_weights(content, path), metadata, path, networks), metadata


def recogniser_with(
    weights: Mapping[str, Any], metadata: ModelMetadata, path: Path, networks: Networks | None = None
) -> Recogniser:
    """Return the recogniser of the metadata with the weights of the file `path`, in evaluation mode on the CPU.

    Parameters
    ----------
    networks : those of one's own, by name.

    Raises
    ------
    CheckpointError : names, types or shapes of the weights are not those of the metadata's network, a weight is not a
        finite number, or there can be no such network.
    """
    try:
        # First on "meta", where there are shapes and no memory: metadata of a network of any size cost nothing.
        # A network that was handed in is trusted, and may not be made for that.
        is_own = metadata.architecture in (networks or {})
        with torch.device("cpu" if is_own else "meta"):
            expected = build_recogniser(metadata, networks).state_dict()
        _check_weights(weights, expected, path, finite=not is_own)
        recogniser = build_recogniser(metadata, networks)
        recogniser.load_state_dict(weights)
    except (SettingsError, RuntimeError, TypeError) as error:  # torch's, for sizes beyond 64 bits and odd tensors
        raise CheckpointError(f"{described_in(path)} cannot be used: {shorten(str(error), 300)}") from error
    if recogniser.n_summary != metadata.context:
        raise CheckpointError(
            f"{described_in(path)} has context {metadata.context}, but its network needs {recogniser.n_summary}."
        )
    return recogniser.eval()


def described_in(path: Path) -> Path:
    """Return the file that the metadata of the weights in `path` are in."""
    return metadata_path(path) if path.suffix == SAFETENSORS else path


def _check_weights(
    weights: Mapping[str, Any], expected: Mapping[str, Tensor], path: Path, *, finite: bool = True
) -> None:
    for name in sorted({*expected, *weights}):
        if name not in weights:
            raise CheckpointError(f"{path} lacks the tensor {name}.")
        if name not in expected:
            named = f"a tensor {name[:100]!r}"
            raise CheckpointError(f"{path} holds {named} that the network of its metadata does not have.")
        found, right = _kind(weights[name]), _kind(expected[name])
        if found != right:
            raise CheckpointError(f"{path} holds {name} as {found}, but it should be {right}.")
        if finite and not torch.isfinite(weights[name]).all():  # of a training that diverged, or a stranger's
            raise CheckpointError(f"{path} holds weights in {name} that are not finite numbers.")


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def _weights(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    state = content["state_dict"] if isinstance(content.get("state_dict"), Mapping) else {}
    weights = {name.removeprefix(PREFIX): state[name] for name in state if str(name).startswith(PREFIX)}
    if not weights:
        raise CheckpointError(f"{path} cannot be used: it holds no weights.")
    # A sparse one has no size; `recogniser_with` refuses it.
    tensors = {n: v for n, v in weights.items() if isinstance(v, Tensor) and v.layout == torch.strided}
    # A tensor can be one number with a shape that repeats it a billion times; a copy of it takes the memory.
    claimed = sum(value.nbytes for value in tensors.values())
    if claimed > path.stat().st_size:
        raise CheckpointError(f"{path} cannot be used: it claims weights of {claimed:,} bytes, more than it has.")
    # A training may run, and save, in half precision.
    return weights | {name: value.float() for name, value in tensors.items() if value.is_floating_point()}
