"""The files of a pretrained encoder: a folder, or a repository of the Hugging Face hub, read without running its code.

Three files are read: config.json, preprocessor_config.json and model.safetensors. No pickle is, and nothing that a
configuration names as code is imported.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

from ser.errors import CheckpointError, SettingsError, missing_package
from ser.features.validation import read_settings, suggestion
from ser.models.encoder import Encoder, build_config, model_class
from ser.models.encoder_metadata import CONFIG_KEYS, SAMPLE_RATE, EncoderMetadata

CONFIG, PREPROCESSOR, WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"

_MAX_BYTES = 2**20
"""Of a configuration; that of WavLM has 2 kB, of Whisper, with its suppressed tokens, 2 kB too."""
_BLOCK = 2**20
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def load_encoder(source: Path | str, *, revision: str | None = None, trainable: bool = False) -> Encoder:
    """Read an encoder with its pretrained weights, in evaluation mode on the CPU.

    Parameters
    ----------
    source : a folder, or the name of a repository on the Hugging Face hub, which is fetched where it is not at hand.
    revision : of that repository: a branch, a tag, a commit, or a pull request as "refs/pr/1"; None: its main branch.
    trainable : whether it is to be fine-tuned; kept in the metadata.

    Raises
    ------
    CheckpointError : there is no such folder or repository, a file is missing or damaged, or weights are missing.
    SettingsError : transformers is not installed, or the encoder is none of those that are known.
    """
    folder, commit = find_folder(source, revision)
    # Of a folder its own name alone: where it lies is nobody's business who is given the model.
    name = str(source) if commit else folder.resolve().name
    return _load(folder, describe_encoder(folder, name=name, revision=commit, trainable=trainable))


def load_named_encoder(source: Path | str, wanted: EncoderMetadata, *, of: Path | str) -> Encoder:
    """Read the encoder that a model was trained on, checked against what the model says of it.

    Parameters
    ----------
    source : a folder, or a name on the hub; that of `wanted` is taken at the commit of the training.
    of : the model, for messages.

    Raises
    ------
    CheckpointError : as `load_encoder`, or it is another encoder.
    """
    is_named = str(source) == wanted.name and not Path(source).is_dir()
    folder, commit = find_folder(source, wanted.revision or None if is_named else None)
    found = describe_encoder(folder, name=wanted.name, revision=commit, trainable=wanted.trainable)
    if found.sha256 != wanted.sha256:
        raise CheckpointError(
            f"{of} was trained on the encoder {described(wanted)}, whose {WEIGHTS} has the SHA-256 {wanted.sha256}, "
            f"but that of {source} has {found.sha256}; give the very same."
        )
    for key in ("kind", "config", "normalise"):
        if getattr(found, key) != getattr(wanted, key):
            raise CheckpointError(
                f"{of} was trained on the encoder {described(wanted)}, from which {source} differs in its {key}."
            )
    return _load(folder, wanted)


def described(encoder: EncoderMetadata) -> str:
    """Return the name of an encoder with its commit, where it has one."""
    return f"{encoder.name} (revision {encoder.revision})" if encoder.revision else encoder.name


def find_folder(source: Path | str, revision: str | None) -> tuple[Path, str]:
    """Return the folder of an encoder's files, and the commit where it is of the hub, else "".

    Raises
    ------
    CheckpointError : there is no such folder, and it cannot be fetched.
    SettingsError : huggingface_hub is not installed.
    """
    folder = Path(source)
    if folder.is_dir():
        if revision is not None:
            raise SettingsError(f"model.encoder_revision is {revision!r}, but {source} is a folder, which has none.")
        return folder, ""
    if not _HUB_NAME.fullmatch(str(source)):
        raise CheckpointError(
            f"{source}: there is no such folder, and it is no name of an encoder on the hub, such as "
            "microsoft/wavlm-base-plus."
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise SettingsError(f"{missing_package(error, f'The encoder {source}')}.") from error
    try:
        found = snapshot_download(str(source), revision=revision, allow_patterns=[CONFIG, PREPROCESSOR, WEIGHTS])
    except Exception as error:  # of the network, of the hub, of its cache
        raise CheckpointError(
            f"{source}: there is no such folder, and it cannot be fetched from the hub ({type(error).__name__}); give "
            "the folder of its files, or look at its name, its revision and the connection."
        ) from error
    return Path(found), Path(found).name


def describe_encoder(folder: Path, *, name: str, revision: str = "", trainable: bool = False) -> EncoderMetadata:
    """Return what is known of an encoder by its files, without loading it.

    Parameters
    ----------
    name, revision, trainable : entries of the result.

    Raises
    ------
    CheckpointError : a file is missing, too large, or no JSON.
    SettingsError : it is none of the encoders that are known, or transformers is not installed.
    """
    config = _read_json(folder / CONFIG)
    kind = config.get("model_type")
    if kind not in CONFIG_KEYS:
        known = suggestion(str(kind), CONFIG_KEYS)
        raise SettingsError(f"{folder / CONFIG} has the model_type {str(kind)[:100]!r}; {known}.")
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise CheckpointError(
            f"{name} has no {WEIGHTS}, and no other file of weights is read, because a pickle may hold code; many "
            "repositories have one at a revision such as refs/pr/1 (model.encoder_revision), or save one yourself: "
            "see docs/guides/encoders.md."
        )
    preprocessor = _read_json(folder / PREPROCESSOR)
    if preprocessor.get("sampling_rate", SAMPLE_RATE) != SAMPLE_RATE:
        raise SettingsError(f"{folder / PREPROCESSOR} has a sampling_rate other than {SAMPLE_RATE} Hz.")
    # What the file leaves out has the value that transformers gives it.
    complete = build_config(kind, {key: config[key] for key in CONFIG_KEYS[kind] if key in config})
    entries = {key: getattr(complete, key) for key in CONFIG_KEYS[kind]}
    values = {
        "name": name,
        "revision": revision,
        "sha256": _digest(weights),
        "trainable": trainable,
        "kind": kind,
        "config": {key: list(value) if isinstance(value, tuple) else value for key, value in entries.items()},
        "normalise": kind != "whisper" and bool(preprocessor.get("do_normalize", True)),
    }
    return read_settings(EncoderMetadata, values, where="encoder")


def _load(folder: Path, metadata: EncoderMetadata) -> Encoder:
    _, model = model_class(metadata.kind)
    try:
        with _quiet():
            loaded, found = model.from_pretrained(
                folder,
                config=build_config(metadata.kind, metadata.config),
                use_safetensors=True,
                local_files_only=True,
                dtype="float32",
                attn_implementation="eager",
                output_loading_info=True,
                # Whisper's file has a decoder beside it, which stays there.
                key_mapping={r"^(model\.)?encoder\.": ""} if metadata.kind == "whisper" else None,
            )
    except Exception as error:  # transformers' and safetensors' own, of many kinds
        raise CheckpointError(
            f"{folder / WEIGHTS} cannot be read as a {metadata.kind} encoder ({type(error).__name__}: "
            f"{shorten(str(error), 200)})."
        ) from error
    missing = sorted(found["missing_keys"])
    if missing:  # transformers would fill them with random numbers
        raise CheckpointError(f"{folder / WEIGHTS} lacks {len(missing)} tensors of the encoder, such as {missing[0]}.")
    return Encoder(metadata, loaded).eval()


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent} lacks {path.name}, which an encoder of transformers has.")
    if path.stat().st_size > _MAX_BYTES:
        raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes, but should have {_MAX_BYTES:,} at most.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON.") from error
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{path} is damaged: it should be a JSON object.")
    return values


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing bars and from listing the weights of tasks that an encoder does without."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
