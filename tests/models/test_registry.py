from pathlib import Path

import pytest

from ser.errors import SettingsError
from ser.models.registry import ARCHITECTURES, build_recogniser, check_architecture

CNN, RESIDUAL = "cnn_bilstm_luong", "residual_bilstm"


def test_each_network_is_a_file_and_a_choice_of_the_configuration():
    root = Path(__file__).parents[2]
    files = {path.stem for path in (root / "ser/models/networks").glob("*.py")} - {"__init__"}
    assert set(ARCHITECTURES) == files == {path.stem for path in (root / "conf/model").glob("*.yaml")}


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cnn_bilstm_loung", {}, "model.name is 'cnn_bilstm_loung'; did you mean 'cnn_bilstm_luong'"),
        ("torch.nn.Linear", {}, "model.name is 'torch.nn.Linear'"),
        (CNN, {}, "features.max_length is 1, but model cnn_bilstm_luong needs at least 2"),
        (CNN, {"conv_channels": [64]}, r"model.network.conv_channels is \[64\]"),
        (CNN, {"conv_channels": [64, 0]}, r"model.network.conv_channels\[1\] is 0"),
        (CNN, {"lstm_hidden": 0}, "model.network.lstm_hidden is 0"),
        (CNN, {"lstm_hidden": "3"}, "model.network.lstm_hidden is '3'"),
        (CNN, {"lstm_layers": 0}, "model.network.lstm_layers is 0"),
        (CNN, {"lstm_layers": 10**9}, "model.network.lstm_layers is 1000000000"),
        (CNN, {"dropout": 1.0}, "model.network.dropout is 1.0"),
        (CNN, {"lstm_dropout": -0.1}, "model.network.lstm_dropout is -0.1"),
        (CNN, {"lstm_hiden": 3}, "model.network.lstm_hiden is not a setting; did you mean 'lstm_hidden'"),
        (RESIDUAL, {}, "features.max_length is 1, but model residual_bilstm needs at least 8"),
        (RESIDUAL, {"channels": [3]}, r"model.network.channels is \[3\]"),
        (RESIDUAL, {"lstm_hidden": 0}, "model.network.lstm_hidden is 0"),
        (RESIDUAL, {"dropout": 1}, "model.network.dropout is 1"),
        (RESIDUAL, {"fusion_weight": 1}, "model.network.fusion_weight is 1"),
        (RESIDUAL, {"kernel": True}, "model.network.kernel is true, but fusion_weight is 0"),
    ],
)
def test_what_cannot_be_built_is_refused(name, settings, message):
    sizes = {"n_features": 4, "max_length": 1}
    with pytest.raises(SettingsError, match=message):
        check_architecture(name, settings, **sizes)
    with pytest.raises(SettingsError, match=message):
        build_recogniser(name, settings, **sizes, n_classes=2)


def test_bands_that_a_head_cannot_group_are_refused():
    with pytest.raises(SettingsError, match=r"a multiple of 16 bands .* the features have 4 rows"):
        check_architecture(RESIDUAL, {"fusion_weight": 0.5}, n_features=4, max_length=216)
