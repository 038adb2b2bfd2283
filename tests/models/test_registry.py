"""What is built of metadata, and what is refused: networks of ours and of one's own."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ser.errors import SettingsError
from ser.features.groups import FeatureGroup
from ser.features.settings import FeatureSettings
from ser.models.metadata import ModelMetadata
from ser.models.networks.residual_bilstm import ResidualBiLstm
from ser.models.registry import NETWORKS, build_recogniser, check_network, find_network, is_per_band, network_name

CNN, RESIDUAL = "cnn_bilstm_luong", "residual_bilstm"


class Mean(nn.Module):
    """A network of one's own, without attributes that say what it takes."""

    def __init__(self, n_features, n_classes, hidden=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, hidden), nn.Linear(hidden, n_classes))

    def forward(self, features, lengths):
        return self.layers(features.mean(dim=2))


class PerBand(Mean):
    per_band = True
    min_frames = 9


OWN = {"Mean": Mean, "PerBand": PerBand}


def metadata_of(name, settings, *, n_mels=16, groups=("logmel",), max_length=1, **more):
    features = FeatureSettings(n_fft=1024, n_mels=n_mels, groups=groups, max_length=max_length)
    described = {"class_names": ("calm", "sad"), "protocol": "Random weights."}
    return ModelMetadata(architecture=name, network=settings, features=features, **described, **more)


def refuse(metadata, message):
    """With and without building, unless no network has that name."""
    if metadata.architecture in NETWORKS | OWN:
        with pytest.raises(SettingsError, match=message):
            check_network(find_network(metadata.architecture, OWN), metadata)
    with pytest.raises(SettingsError, match=message):
        build_recogniser(metadata, OWN)


def test_each_network_is_a_file_and_a_choice_of_the_configuration():
    root = Path(__file__).parents[2]
    files = {path.stem for path in (root / "ser/models/networks").glob("*.py")} - {"__init__"}
    assert {*NETWORKS} == files
    of_encoders = {"encoder_pooling", "encoder_bilstm_luong"}  # two networks for the one choice model=encoder
    for folder, choices in {
        "conf/model": {*files, "tiny", "encoder"} - of_encoders,
        "conf/model/network": {*files, "tiny"},
    }.items():
        assert {path.stem for path in (root / folder).glob("*.yaml")} == choices


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cnn_bilstm_loung", {}, "^architecture is 'cnn_bilstm_loung'.*; did you mean 'cnn_bilstm_luong'"),
        ("torch.nn.Linear", {}, "^architecture is 'torch.nn.Linear'.*networks={'torch.nn.Linear': .*; known are "),
        (CNN, {}, "features.max_length is 1, but cnn_bilstm_luong needs at least 2"),
        (CNN, {"conv_channels": [64]}, r"model.network.conv_channels is \[64\]"),
        (CNN, {"conv_channels": [64, 0]}, r"model.network.conv_channels\[1\] is 0"),
        (CNN, {"lstm_hidden": 0}, "model.network.lstm_hidden is 0"),
        (CNN, {"lstm_hidden": "3"}, "model.network.lstm_hidden is '3'"),
        (CNN, {"lstm_layers": 0}, "model.network.lstm_layers is 0"),
        (CNN, {"lstm_layers": 10**9}, "model.network.lstm_layers is 1000000000"),
        (CNN, {"dropout": 1.0}, "model.network.dropout is 1.0"),
        (CNN, {"lstm_dropout": -0.1}, "model.network.lstm_dropout is -0.1"),
        (CNN, {"lstm_hiden": 3}, "model.network.lstm_hiden is not a setting; did you mean 'lstm_hidden'"),
        (CNN, {"n_classes": 3}, "model.network.n_classes is not a setting"),  # it follows from the classes
        (RESIDUAL, {}, "features.max_length is 1, but residual_bilstm needs at least 8"),
        (RESIDUAL, {"channels": [3]}, r"model.network.channels is \[3\]"),
        (RESIDUAL, {"lstm_hidden": 0}, "model.network.lstm_hidden is 0"),
        (RESIDUAL, {"dropout": 1}, "model.network.dropout is 1"),
        ("Mean", {"hiden": 3}, "model.network.hiden is not a setting; did you mean 'hidden'"),
        ("PerBand", {}, "features.max_length is 1, but PerBand needs at least 9 frames"),
    ],
)
def test_what_cannot_be_built_is_refused(name, settings, message):
    refuse(metadata_of(name, settings), message)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (CNN, {}, "^model.utterance_head is not for cnn_bilstm_luong; give model.utterance_head=null"),
        ("Mean", {}, "^model.utterance_head is not for Mean"),
        (RESIDUAL, {"n_mels": 20}, "a multiple of 16 bands .* the features have 22 rows"),
        # As many rows as 16 bands and the pitch have: their number tells nothing.
        (
            RESIDUAL,
            {"groups": ("mel", "pitch")},
            r"needs features.groups=\[logmel,pitch\], but it is \['mel', 'pitch'\]",
        ),
        (RESIDUAL, {"groups": ("pitch", "logmel")}, r"but it is \['pitch', 'logmel'\]"),
    ],
)
@pytest.mark.parametrize("kind", ["linear", "kernel"])
def test_a_head_that_does_not_fit_is_refused(name, changes, message, kind):
    changes = {"groups": ("logmel", "pitch"), "max_length": 64} | changes
    refuse(metadata_of(name, {}, utterance_head=kind, fusion_weight=0.5, **changes), message)


def test_a_head_that_fits_is_built_and_the_network_is_without_the_pitch():
    settings = {"groups": ("logmel", "pitch"), "max_length": 64, "utterance_head": "linear", "fusion_weight": 0.25}
    recogniser = build_recogniser(metadata_of("PerBand", {}, **settings), OWN)
    assert recogniser.network.layers[0].in_features == recogniser.utterance_head.n_bands == 16
    assert recogniser.fusion_weight == 0.25


def test_a_network_of_ones_own_is_built_with_its_settings_by_its_class_name():
    metadata = metadata_of("Mean", {"hidden": 7}, max_length=5)
    with pytest.raises(SettingsError, match=r"networks=\{'Mean': <its class>\}"):
        build_recogniser(metadata)
    recogniser = build_recogniser(metadata, OWN)
    assert isinstance(recogniser.network, Mean)
    assert (recogniser.network.layers[0].in_features, recogniser.network.layers[0].out_features) == (16, 7)
    assert recogniser(torch.zeros(4, 16, 5), torch.full((4,), 5))[0].shape == (4, 2)
    # Without attributes it gets features normalised per coefficient; else what it says.
    assert recogniser.normalisation.mean.shape == (16, 5)
    per_band = build_recogniser(replace(metadata_of("PerBand", {}, max_length=9)), OWN)
    assert per_band.normalisation.mean.shape == (16, 1)
    assert [is_per_band(network) for network in (Mean, PerBand, NETWORKS[CNN], NETWORKS[RESIDUAL])] == [0, 1, 0, 1]


def test_names_in_metadata_are_files_of_ours_and_classes_of_others():
    assert {name: network_name(network) for name, network in NETWORKS.items()} == {name: name for name in NETWORKS}
    assert network_name(Mean) == "Mean"

    class Changed(ResidualBiLstm):
        pass

    assert network_name(Changed) == "Changed"
    assert find_network(RESIDUAL, {RESIDUAL: Changed}) is ResidualBiLstm  # a name of ours means ours


def test_groups_of_ones_own_count_among_the_rows():
    group = FeatureGroup("volts", lambda settings: 3, fast=lambda analysis: analysis.power[:, :3].T)
    features = FeatureSettings(groups=("zcr", "bins"), own_groups={"bins": group}, max_length=4)
    metadata = replace(metadata_of("Mean", {}), features=features)
    assert build_recogniser(metadata, OWN).network.layers[0].in_features == 4
