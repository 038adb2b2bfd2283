"""The network's answer from PyTorch."""

from pathlib import Path

import numpy as np
import torch

from ser.checkpoint import load_recogniser
from ser.description import Description
from ser.nets import Recogniser


class TorchScorer:
    """Features to probabilities; see `ser.predictor.Scorer`."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser.eval()

    def __call__(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            logits, attention = self.recogniser(torch.from_numpy(features))
            return torch.softmax(logits.float(), dim=1).numpy(), attention.float().numpy()


def load_torch_scorer(path: Path) -> tuple[TorchScorer, Description]:
    """Read a checkpoint, or the best one of a run's folder; raises CheckpointError as `load_recogniser`."""
    recogniser, description = load_recogniser(path)
    return TorchScorer(recogniser), description
