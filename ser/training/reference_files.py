"""The three files of the reference implementation, for code that reads them. They are written, and never read here."""

import io
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.preprocessing import LabelEncoder, StandardScaler

from ser.data.files import write_bytes_atomically
from ser.models.recogniser import Recogniser


def write_reference_files(
    folder: Path, recogniser: Recogniser, scaler: StandardScaler, *, class_names: Sequence[str]
) -> None:
    """Write the network's weights, the scaler and a label encoder into `folder`.

    Parameters
    ----------
    scaler : of features [samples, features * frames], each row a recording's features flattened.
    class_names : in the order of the network's outputs. `LabelEncoder.fit` would sort them by the alphabet, and its
        numbers would then name other emotions than the outputs do.
    """
    encoder = LabelEncoder().fit(class_names)
    encoder.classes_ = np.array(class_names)
    weights = io.BytesIO()  # see ser.inference.checkpoint.save_atomically
    torch.save(recogniser.network.state_dict(), weights)
    write_bytes_atomically(folder / "emotion_classification_model.pth", weights.getvalue())
    write_bytes_atomically(folder / "scaler.pkl", pickle.dumps(scaler))
    write_bytes_atomically(folder / "label_encoder.pkl", pickle.dumps(encoder))
