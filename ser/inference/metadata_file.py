"""The JSON file beside the weights of a model: its metadata, and the SHA-256 of each of its files.

The weights lie in `<name>.onnx`, in `<name>.safetensors`, or in both; `<name>.json` belongs to both.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ser.data.files import write_text_atomically
from ser.errors import CheckpointError
from ser.features.validation import as_plain
from ser.models.metadata import FeatureGroups, ModelMetadata, read_metadata

ONNX, SAFETENSORS = ".onnx", ".safetensors"
MAX_BYTES = 2**24
"""Of the JSON; one that names all 2,452 recordings of RAVDESS has 70 kB, one with the hashes of a million 11 MB."""

METADATA, DIGEST, ONNX_DIGEST = "metadata", "sha256", "onnx_sha256"
"""The keys of the JSON: plain values of `ModelMetadata`, the hexadecimal SHA-256 of the weights, and, where the weights
lie in a .safetensors file and there is an .onnx file too, that of the latter."""

_OF_THE_MACHINE = ("paths", "root", "manifest", "ckpt_path")
"""Settings that are paths on the machine that trained."""


def metadata_path(path: Path) -> Path:
    """Return where the metadata of the weights `path` lies."""
    return path.with_suffix(".json")


def digest_of(weights: bytes) -> str:
    """Return the hexadecimal SHA-256 of the content of a file."""
    return hashlib.sha256(weights).hexdigest()


def fingerprint_of(path: Path) -> str:
    """Return what tells a model from others: `sha256:` and 16 hexadecimal digits, of its weights and its metadata.

    That of an .onnx or .safetensors file is of the metadata beside it, which hold the SHA-256 of either.
    """
    identity = metadata_path(path) if path.suffix in (ONNX, SAFETENSORS) else path
    return short_digest(identity.read_bytes())


def short_digest(content: bytes) -> str:
    """Return `sha256:` and 16 hexadecimal digits of the SHA-256."""
    return f"sha256:{digest_of(content)[:16]}"


def read_metadata_of(path: Path, weights: bytes, feature_groups: FeatureGroups | None = None) -> ModelMetadata:
    """Return the metadata beside `path`, whose content is `weights`; `feature_groups` are one's own.

    Raises
    ------
    CheckpointError : it is missing, too large, damaged or foreign, or belongs to other weights.
    """
    beside = metadata_path(path)
    if not beside.is_file():
        raise CheckpointError(f"{path} lacks its metadata: {beside.name} should lie beside it.")
    try:
        content = json.loads(read_up_to(beside, MAX_BYTES).decode("utf-8"))
    except (ValueError, RecursionError) as error:  # text that is not UTF-8 is a ValueError too
        raise CheckpointError(f"{beside} is damaged: it is not JSON.") from error
    if not isinstance(content, Mapping) or not isinstance(content.get(METADATA), Mapping):
        raise CheckpointError(f"{beside} is not the metadata of a model of this project.")
    key = ONNX_DIGEST if path.suffix == ONNX and ONNX_DIGEST in content else DIGEST
    if content.get(key) != digest_of(weights):
        raise CheckpointError(f"{path} is not the model of {beside.name} (its SHA-256 differs); write both again.")
    return read_metadata(content[METADATA], beside, feature_groups)


def write_metadata(path: Path, weights: bytes, metadata: ModelMetadata, *, onnx: bytes | None = None) -> None:
    """Write the metadata of the weights `path` beside them, without paths on the machine that trained.

    Parameters
    ----------
    onnx : the content of the .onnx file beside the weights, where there is one.

    Raises
    ------
    OSError : the file cannot be written.
    """
    digests = {DIGEST: digest_of(weights)} | ({} if onnx is None else {ONNX_DIGEST: digest_of(onnx)})
    values = as_plain(metadata)
    values |= {
        "corpus_root": "",
        "corpora": dict.fromkeys(values["corpora"], ""),
        "configuration": _without_paths(values["configuration"]),
    }
    text = json.dumps(digests | {METADATA: values}, indent=2, ensure_ascii=False)
    write_text_atomically(metadata_path(path), f"{text}\n")


def read_up_to(path: Path, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; raises CheckpointError for a larger one, unread."""
    size = path.stat().st_size
    if size > limit:
        raise CheckpointError(f"{path} has {size:,} bytes, but should have {limit:,} at most.")
    return path.read_bytes()


def _without_paths(value: Any) -> Any:
    """Return plain values without the settings that are paths; other text that is clearly one is made empty."""
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items() if key not in _OF_THE_MACHINE}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    private = isinstance(value, str) and (
        value.startswith("~") or PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
    )
    return "" if private else value
