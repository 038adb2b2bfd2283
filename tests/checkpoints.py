"""Checkpoints of recognisers that no training made."""

from pathlib import Path
from typing import Any

from ser.features.validation import as_plain
from ser.inference.checkpoint import ENTRY, PREFIX, save_atomically
from ser.models.metadata import ModelMetadata
from ser.models.recogniser import Recogniser


def checkpoint_of(recogniser: Recogniser, metadata: ModelMetadata) -> dict[str, Any]:
    """Return what a training would save, without what only Lightning needs."""
    state = {PREFIX + name: tensor for name, tensor in recogniser.state_dict().items()}
    return {"state_dict": state, ENTRY: as_plain(metadata)}


def write_checkpoint(recogniser: Recogniser, metadata: ModelMetadata, path: Path) -> Path:
    """Write such a checkpoint and return its path."""
    save_atomically(checkpoint_of(recogniser, metadata), path)
    return path
