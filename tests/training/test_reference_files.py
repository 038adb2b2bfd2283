import pickle

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from ser.corpora.ravdess import EMOTIONS
from ser.features.validation import read_settings
from ser.inference.checkpoint import load_recogniser
from ser.inference.torch_backend import TorchScorer
from ser.models.networks.cnn_bilstm_luong import CnnBiLstmLuong, CnnBiLstmLuongSettings
from ser.training.reference_files import write_reference_files


@pytest.fixture
def written(tiny_checkpoint, tmp_path):
    recogniser, metadata = load_recogniser(tiny_checkpoint)
    shape = tuple(recogniser.normalisation.mean.shape)
    matrix = np.random.default_rng(0).normal(2, 3, (20, shape[0] * shape[1]))
    scaler = StandardScaler().fit(matrix)
    recogniser.normalisation.set_statistics(
        torch.from_numpy(scaler.mean_.reshape(shape)), torch.from_numpy(scaler.scale_.reshape(shape))
    )
    paths = write_reference_files(tmp_path, recogniser, scaler, class_names=metadata.class_names)
    return TorchScorer(recogniser), matrix, {path.name: path for path in paths}


def unpickled(path):
    return pickle.loads(path.read_bytes())  # noqa: S301 - our own file, written just now


def test_the_three_files_have_the_names_of_the_reference_implementation(written, tmp_path):
    names = {"emotion_classification_model.pth", "scaler.pkl", "label_encoder.pkl"}
    assert set(written[2]) == names
    assert {path.name for path in tmp_path.iterdir()} == names


def test_the_encoder_numbers_the_emotions_as_the_network_does(written):
    encoder = unpickled(written[2]["label_encoder.pkl"])
    assert list(encoder.inverse_transform(range(8))) == list(EMOTIONS) != sorted(EMOTIONS)
    assert list(encoder.transform(EMOTIONS)) == list(range(8))


def test_the_three_files_together_predict_as_the_checkpoint_does(written, tiny_metadata):
    scorer, matrix, paths = written
    features = matrix[:4].astype(np.float32)
    scaler = unpickled(paths["scaler.pkl"])
    settings = read_settings(CnnBiLstmLuongSettings, tiny_metadata.network, where="network")
    network = CnnBiLstmLuong(settings, n_features=187, n_classes=8).eval()
    network.load_state_dict(torch.load(paths["emotion_classification_model.pth"], weights_only=True))

    with torch.no_grad():
        inputs = torch.from_numpy(scaler.transform(features).reshape(4, 187, 64)).float()
        logits, _ = network(inputs, torch.full((4,), 64))
    expected, _ = scorer(features.reshape(4, 187, 64), np.full(4, 64))

    np.testing.assert_allclose(torch.softmax(logits, dim=1).numpy(), expected, rtol=1e-4, atol=1e-6)
