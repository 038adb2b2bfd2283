"""The model on PyTorch."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ser.inference.checkpoint import Networks, load_recogniser
from ser.inference.metadata_file import SAFETENSORS
from ser.inference.pretrained import load_pretrained
from ser.models.metadata import FeatureGroups, ModelMetadata
from ser.models.recogniser import Recogniser


class TorchScorer:
    """Features to probabilities; see `ser.inference.predictor.Scorer`.

    Parameters
    ----------
    temperature : the logits are divided by it.
    """

    def __init__(self, recogniser: Recogniser, *, temperature: float = 1.0) -> None:
        self.recogniser = recogniser.eval()
        self.temperature = temperature

    def __call__(
        self, features: NDArray[np.float32], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            logits, attention = self.recogniser(torch.from_numpy(features), torch.from_numpy(lengths))
            return torch.softmax(logits.float() / self.temperature, dim=1).numpy(), attention.float().numpy()


def load_torch_scorer(
    path: Path, *, networks: Networks | None = None, feature_groups: FeatureGroups | None = None
) -> tuple[TorchScorer, ModelMetadata]:
    """Read a checkpoint, the best one of a run's folder, or a .safetensors file; `networks` and so on are one's own.

    Raises
    ------
    CheckpointError : as `load_recogniser` and `load_pretrained`.
    """
    load = load_pretrained if path.suffix == SAFETENSORS else load_recogniser
    recogniser, metadata = load(path, networks=networks, feature_groups=feature_groups)
    return TorchScorer(recogniser, temperature=metadata.temperature), metadata
