"""The original project's three files, for those who have code that reads them. We write them and never read one."""

import io
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.preprocessing import LabelEncoder, StandardScaler

from ser.data.files import write_bytes_atomically
from ser.models.recogniser import Recogniser

WEIGHTS, SCALER, ENCODER = "emotion_classification_model.pth", "scaler.pkl", "label_encoder.pkl"


def write_reference_files(
    folder: Path, recogniser: Recogniser, scaler: StandardScaler, *, class_names: Sequence[str]
) -> list[Path]:
    """Write the network's weights, the scaler and a label encoder, and return their paths.

    The encoder's classes stand in the order of the network's outputs, which is RAVDESS order: fitting one would sort
    them by the alphabet, and its numbers would then name other emotions than the outputs do.
    """
    encoder = LabelEncoder()
    encoder.fit(class_names)
    encoder.classes_ = np.array(class_names)
    paths = [folder / name for name in (WEIGHTS, SCALER, ENCODER)]
    weights = io.BytesIO()  # see ser.inference.checkpoint.save_atomically
    torch.save(recogniser.network.state_dict(), weights)
    for path, content in zip(paths, (weights.getvalue(), pickle.dumps(scaler), pickle.dumps(encoder)), strict=True):
        write_bytes_atomically(path, content)
    return paths
