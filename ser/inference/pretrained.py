"""Pretrained models: weights in a .safetensors file and their metadata as JSON, found by name.

The files lie in the package. Where there is an .onnx file of a model too, it is taken: its answers are the same, and it
needs no torch.
"""

from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from ser.data.files import write_bytes_atomically
from ser.errors import CheckpointError, SettingsError
from ser.features.validation import suggestion
from ser.inference.metadata_file import ONNX, SAFETENSORS, read_metadata_of, read_up_to, write_metadata
from ser.models.metadata import FeatureGroups, ModelMetadata

if TYPE_CHECKING:
    from ser.inference.checkpoint import Networks
    from ser.models.recogniser import Recogniser

MODELS = Path(__file__).parents[1] / "pretrained"
DEFAULT_MODEL = "ser-voices"
"""The model that is loaded where none is named."""
NO_DEFAULT = f"There is no pretrained model {DEFAULT_MODEL} here, which is loaded where none is named."
MAX_BYTES = 64 * 2**20
"""Of a .safetensors file."""


def pretrained_names() -> list[str]:
    """Return the names of the pretrained models, the default one first, the others sorted."""
    names = {path.stem for path in MODELS.glob("*.json") if _weights_of(path.stem)}
    return sorted(names, key=lambda name: (name != DEFAULT_MODEL, name))


def find_pretrained(name: str) -> Path:
    """Return the file of a pretrained model: the .onnx one, else .safetensors, which needs torch.

    Raises
    ------
    CheckpointError : there is no model of that name; it lists those that there are.
    """
    known = pretrained_names()
    if name not in known:  # so no name of a stranger's choosing ever becomes a path
        there = suggestion(name, known) if known else "none is here"
        missing = f"{name[:200]}: there is no such file or folder, and no pretrained model of that name"
        raise CheckpointError(f"{missing}; {there}.")
    return _weights_of(name)[0]


def is_pretrained(path: Path) -> bool:
    """Whether `path` is the file of a pretrained model."""
    return path.parent == MODELS


def default_model() -> Path | None:
    """Return the file of the pretrained model `DEFAULT_MODEL`, or None where there is none."""
    return find_pretrained(DEFAULT_MODEL) if DEFAULT_MODEL in pretrained_names() else None


def find_model(source: Path | str) -> Path:
    """Return the path `source`, or the file of the pretrained model that it names.

    Raises
    ------
    CheckpointError : it is neither a path that exists, nor that of a model's file, nor the name of a pretrained model.
    """
    path = Path(source)
    try:
        exists = path.exists()
    except OSError:  # a name that no file can have, of a thousand letters
        exists = False
    return path if exists or path.suffix in (SAFETENSORS, ONNX, ".ckpt") else find_pretrained(str(source))


def check_own(**given: object) -> None:
    """Check the networks and feature groups of a caller's own, by the name of the argument.

    Raises
    ------
    SettingsError : one is not a dict whose keys are names; it names the argument.
    """
    for argument, value in given.items():
        if value is not None and not (isinstance(value, Mapping) and all(isinstance(name, str) for name in value)):
            what = "class" if argument == "networks" else "FeatureGroup"
            should = f'a dict of each name and its {what}, such as {{"MyOwn": MyOwn}}'
            raise SettingsError(f"{argument} is {shorten(repr(value), 100)}, but should be {should}.")
    networks = given.get("networks")
    for name, network in networks.items() if isinstance(networks, Mapping) else ():
        if not isinstance(network, type):
            raise SettingsError(f"networks has {shorten(repr(network), 100)} for {name!r}, but should have its class.")


def write_pretrained(
    path: Path,
    recogniser: "Recogniser",
    metadata: ModelMetadata,
    *,
    onnx: bytes | None = None,
    networks: "Networks | None" = None,
) -> None:
    """Write weights as `path`, a .safetensors file, and their public metadata beside it.

    Parameters
    ----------
    onnx : the content of an .onnx file of the same recogniser, to lie beside it as well; an older one is removed.
    networks : those of one's own, by name, where the recogniser is of one.

    Raises
    ------
    CheckpointError : weights that `load_pretrained` would refuse; nothing is written.
    OSError : a file cannot be written.
    """
    from safetensors.torch import save

    from ser.inference.checkpoint import recogniser_with

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in recogniser.state_dict().items()}
    recogniser_with(weights, metadata, path, networks)
    content = save(weights)
    if len(content) > MAX_BYTES:
        raise CheckpointError(f"{path} would have {len(content):,} bytes, but should have {MAX_BYTES:,} at most.")
    write_bytes_atomically(path, content)
    if onnx is None:
        path.with_suffix(ONNX).unlink(missing_ok=True)
    else:
        write_bytes_atomically(path.with_suffix(ONNX), onnx)
    write_metadata(path, content, metadata, onnx=onnx)


def load_pretrained(
    path: Path, *, networks: "Networks | None" = None, feature_groups: FeatureGroups | None = None
) -> "tuple[Recogniser, ModelMetadata]":
    """Return the recogniser of a .safetensors file, in evaluation mode on the CPU, and the metadata beside it.

    `networks` and `feature_groups` are one's own, by name.

    Raises
    ------
    CheckpointError : either file is missing, too large, damaged or foreign, the two do not belong together, or a
        weight is not a finite number.
    """
    from safetensors.torch import load

    from ser.inference.checkpoint import recogniser_with

    if not path.is_file():
        what = " is a folder, a device or a pipe" if path.exists() else ": there is no such model"
        raise CheckpointError(f"{path}{what}; write one with `ser publish`.")
    content = read_up_to(path, MAX_BYTES)
    metadata = read_metadata_of(path, content, feature_groups)
    try:
        weights = load(content)
    except Exception as error:  # damage shows as errors of several kinds
        raise CheckpointError(f"{path} is damaged or not a .safetensors file ({type(error).__name__}).") from error
    return recogniser_with(weights, metadata, path, networks), metadata


def _weights_of(name: str) -> list[Path]:
    """Return the files of a model's weights, the one to run first: torch alone takes seconds to import."""
    return [path for suffix in (ONNX, SAFETENSORS) if (path := MODELS / f"{name}{suffix}").is_file()]
