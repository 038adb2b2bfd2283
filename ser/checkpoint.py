"""What a checkpoint says of itself, and the only way one is read: tensors and plain values, never code.

A checkpoint is Lightning's, so that training can resume from it, with one more entry: the description of the model,
from which the recogniser is built again with nothing else at hand.
"""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from ser.corpus.names import EMOTIONS
from ser.errors import CheckpointError, SerError, SettingsError
from ser.features import FeatureSettings
from ser.files import replace_when_complete
from ser.nets import Recogniser, build_recogniser
from ser.run_folder import find_checkpoint
from ser.settings import as_plain, read_settings, require

ENTRY = "ser"
"""The key of the description in a checkpoint."""
PREFIX = "recogniser."
"""What the recogniser's weights are called in a checkpoint: it is this attribute of the Lightning module."""
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Description:
    """Everything but the weights.

    Attributes
    ----------
    architecture, network : a name of `ser.nets.ARCHITECTURES` and its settings.
    class_names : in the order of the outputs.
    features : the settings of sound and features.
    protocol : one sentence on whom the model has heard and what chose this checkpoint.
    held_out : names of the recordings that the run kept from training, to be scored.
    corpus_root : where the corpus lay then; the held-out recordings are looked for there first.
    configuration : the run's resolved configuration, as it was; information only.
    versions : of this project and the libraries at training; information only.
    """

    architecture: str
    network: dict[str, Any]
    class_names: tuple[str, ...]
    features: FeatureSettings
    protocol: str
    held_out: tuple[str, ...] = ()
    corpus_root: str = ""
    configuration: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        require(
            self.format == FORMAT, f"format is {self.format}, but this release reads {FORMAT}; install its release."
        )
        unknown = [name for name in self.class_names if name not in EMOTIONS]
        require(not unknown, f"class_names holds {unknown}, which are not emotions of RAVDESS.")
        require(len(self.class_names) >= 2, "class_names should hold two names at least.")

    def build(self) -> Recogniser:
        """Return the recogniser with fresh weights; raises SettingsError for a bad architecture or network."""
        return build_recogniser(
            self.architecture,
            self.network,
            n_features=self.features.n_features,
            max_length=self.features.max_length,
            n_classes=len(self.class_names),
        )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this project as tensors and plain values.

    Raises
    ------
    CheckpointError : missing, damaged, holding code, or not written by this project.
    """
    path = find_checkpoint(path)
    try:
        # weights_only, said aloud: no class of a file's choosing is ever built, no code of a file's ever runs.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} was refused: it is not a file of tensors and plain values alone.") from error
    # Damage shows as errors of every kind, torch's own assertions among them, by where in the archive it lies.
    except Exception as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint ({type(error).__name__}).") from error
    if not isinstance(content, dict) or not isinstance(content.get(ENTRY), Mapping):
        raise CheckpointError(f"{path} is not a checkpoint of this project; train one with `python train.py`.")
    return content


def read_description(content: Mapping[str, Any], path: Path) -> Description:
    """Return the description in the content of a checkpoint; `path` is for messages.

    Raises
    ------
    CheckpointError : an entry is missing, unknown or bad.
    """
    try:
        return read_settings(Description, content[ENTRY], where="checkpoint")
    except SettingsError as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from error


def load_recogniser(path: Path) -> tuple[Recogniser, Description]:
    """Return the recogniser of a checkpoint, in evaluation mode on the CPU, and its description.

    Raises
    ------
    CheckpointError : as `read_checkpoint`, or weights that do not fit the description.
    """
    path = find_checkpoint(path)
    content = read_checkpoint(path)
    description = read_description(content, path)
    try:
        recogniser = description.build()
        recogniser.load_state_dict(_weights(content))
    except (RuntimeError, SerError) as error:
        raise CheckpointError(f"{path} cannot be used: {shorten(str(error), 300)}") from error
    return recogniser.eval(), description


def describe(description: Description) -> dict[str, Any]:
    """Return the description as plain values for a checkpoint."""
    return as_plain(description)


def save_atomically(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint in its own folder and move it into place when it is complete."""
    with replace_when_complete(path) as partial:
        torch.save(dict(content), partial)


def fingerprint(recogniser: Recogniser) -> str:
    """Return a digest of all weights and statistics: equal for equal models."""
    digest = hashlib.sha256()
    for name, tensor in sorted(recogniser.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    state = content.get("state_dict")
    if not isinstance(state, Mapping):
        raise CheckpointError("it holds no weights.")
    return {
        name.removeprefix(PREFIX): value
        for name, value in state.items()
        if isinstance(name, str) and name.startswith(PREFIX)
    }
