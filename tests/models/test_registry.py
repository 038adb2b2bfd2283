from pathlib import Path

import pytest

from ser.errors import SettingsError
from ser.models.registry import ARCHITECTURES, build_recogniser, check_architecture


def test_each_network_is_a_file_and_a_choice_of_the_configuration():
    root = Path(__file__).parents[2]
    files = {path.stem for path in (root / "ser/models/networks").glob("*.py")} - {"__init__"}
    assert set(ARCHITECTURES) == files == {path.stem for path in (root / "conf/model").glob("*.yaml")}


@pytest.mark.parametrize(
    ("name", "settings", "max_length", "message"),
    [
        ("cnn_bilstm_loung", {}, 216, "model.name is 'cnn_bilstm_loung'; did you mean 'cnn_bilstm_luong'"),
        ("torch.nn.Linear", {}, 216, "model.name is 'torch.nn.Linear'"),
        ("cnn_bilstm_luong", {"lstm_hiden": 3}, 216, "model.network.lstm_hiden is not a setting; did you mean"),
        ("cnn_bilstm_luong", {"lstm_hidden": "3"}, 216, "model.network.lstm_hidden is '3'"),
        ("cnn_bilstm_luong", {}, 1, "features.max_length is 1, but model cnn_bilstm_luong needs at least 2"),
        ("residual_bilstm", {"kernel": True}, 216, "model.network.kernel is true, but fusion_weight is 0"),
        ("residual_bilstm", {"fusion_weight": 0.5}, 216, "a multiple of 16 bands .* the features have 4 rows"),
    ],
)
def test_what_cannot_be_built_is_refused(name, settings, max_length, message):
    with pytest.raises(SettingsError, match=message):
        check_architecture(name, settings, n_features=4, max_length=max_length)
    with pytest.raises(SettingsError, match=message):
        build_recogniser(name, settings, n_features=4, max_length=max_length, n_classes=2)
