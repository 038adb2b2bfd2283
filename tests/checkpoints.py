"""Checkpoints of recognisers that no training made, and spoilt models."""

import json
from pathlib import Path
from typing import Any

import torch

from ser.features.validation import as_plain
from ser.inference.checkpoint import ENTRY, PREFIX, save_atomically
from ser.inference.metadata_file import DIGEST, METADATA, digest_of, metadata_path
from ser.models.metadata import ModelMetadata
from ser.models.recogniser import Recogniser
from ser.models.registry import build_recogniser


def random_recogniser(metadata: ModelMetadata, *, seed: int = 0) -> Recogniser:
    """Return the recogniser of the metadata with random weights and statistics, the same ones for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        recogniser = build_recogniser(metadata)
        shape = recogniser.normalisation.mean.shape
        recogniser.normalisation.set_statistics(torch.randn(shape), 1 + torch.rand(shape))
    return recogniser


def checkpoint_of(recogniser: Recogniser, metadata: ModelMetadata) -> dict[str, Any]:
    """Return what a training would save, without what only Lightning needs."""
    state = {PREFIX + name: tensor for name, tensor in recogniser.state_dict().items()}
    return {"state_dict": state, ENTRY: as_plain(metadata)}


def write_checkpoint(recogniser: Recogniser, metadata: ModelMetadata, path: Path) -> Path:
    """Write such a checkpoint and return its path."""
    save_atomically(checkpoint_of(recogniser, metadata), path)
    return path


def forge(model: Path, content: bytes, **metadata: Any) -> None:
    """Replace the weights of a model, and entries of the metadata beside it, so that the digest fits."""
    model.write_bytes(content)
    values = json.loads(metadata_path(model).read_text(encoding="utf-8"))
    values |= {DIGEST: digest_of(content), METADATA: values[METADATA] | metadata}
    metadata_path(model).write_text(json.dumps(values), encoding="utf-8")
