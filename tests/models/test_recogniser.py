import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from ser.errors import SettingsError
from ser.models.recogniser import build_recogniser, check_architecture
from ser.models.standardiser import Standardiser

SMALL = {"conv_channels": [3, 3], "lstm_hidden": 2, "lstm_layers": 1}


def test_the_standardiser_is_scikit_learns():
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(40, 6, 5)) * rng.uniform(0.1, 50, (6, 5)) + rng.normal(size=(6, 5))).astype(np.float32)
    matrix[:, 2, 3] = 7.0  # a column that never varies
    scaler = StandardScaler().fit(matrix.reshape(40, -1))
    standardiser = Standardiser((6, 5))
    standardiser.set_statistics(
        torch.from_numpy(scaler.mean_.reshape(6, 5)), torch.from_numpy(scaler.scale_.reshape(6, 5))
    )
    expected = scaler.transform(matrix.reshape(40, -1)).reshape(matrix.shape)
    np.testing.assert_allclose(standardiser(torch.from_numpy(matrix)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_fresh_standardiser_changes_nothing_and_has_nothing_to_learn():
    standardiser = Standardiser((2, 3))
    features = torch.randn(4, 2, 3)
    assert torch.equal(standardiser(features), features)
    assert not list(standardiser.parameters())
    assert set(standardiser.state_dict()) == {"mean", "scale"}


def test_the_recogniser_standardises_before_it_judges():
    torch.manual_seed(0)
    recogniser = build_recogniser("cnn_bilstm_luong", SMALL, n_features=4, max_length=10, n_classes=3).eval()
    recogniser.standardiser.set_statistics(torch.full((4, 10), 5.0), torch.full((4, 10), 2.0))
    features = torch.randn(2, 4, 10)
    logits, weights = recogniser(features)
    expected, expected_weights = recogniser.network((features - 5) / 2)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(weights, expected_weights)
    assert not torch.allclose(logits, recogniser.network(features)[0])


@pytest.mark.parametrize(
    ("name", "settings", "max_length", "message"),
    [
        ("cnn_bilstm_loung", {}, 216, "model.name is 'cnn_bilstm_loung'; did you mean 'cnn_bilstm_luong'"),
        ("torch.nn.Linear", {}, 216, "model.name is 'torch.nn.Linear'"),
        ("cnn_bilstm_luong", {"lstm_hiden": 3}, 216, "model.network.lstm_hiden is not a setting; did you mean"),
        ("cnn_bilstm_luong", {"lstm_hidden": "3"}, 216, "model.network.lstm_hidden is '3'"),
        ("cnn_bilstm_luong", {}, 1, "features.max_length is 1, but model cnn_bilstm_luong needs at least 2"),
        ("residual_bilstm", {"fusion_weight": 0.5}, 216, "a multiple of 16 bands .* the features have 4 rows"),
    ],
)
def test_what_cannot_be_built_is_refused(name, settings, max_length, message):
    with pytest.raises(SettingsError, match=message):
        check_architecture(name, settings, n_features=4, max_length=max_length)
    with pytest.raises(SettingsError, match=message):
        build_recogniser(name, settings, n_features=4, max_length=max_length, n_classes=2)


@pytest.mark.parametrize(
    ("module", "on_torch"),
    [("ser.models.recogniser", True), ("ser.inference.torch_backend", True), ("ser.inference.predictor", False)],
)
def test_inference_needs_neither_lightning_nor_hydra(module, on_torch):
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    imported = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert ("torch" in imported) is on_torch
    assert not {"lightning", "pytorch_lightning", "lightning_fabric", "hydra", "omegaconf"} & set(imported)
