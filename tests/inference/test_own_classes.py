"""A model of a network and a feature group that are not of this package: who loads it hands them in."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ser.errors import CheckpointError, SettingsError
from ser.features.groups import FeatureGroup
from ser.features.settings import FeatureSettings
from ser.inference.checkpoint import load_recogniser
from ser.inference.export import onnx_model
from ser.inference.metadata_file import write_metadata
from ser.inference.predictor import Predictor
from ser.inference.pretrained import write_pretrained
from ser.models.registry import build_recogniser
from tests.checkpoints import write_checkpoint


class Pooled(nn.Module):
    """The mean over time, and one layer."""

    def __init__(self, *, n_features: int, n_classes: int, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.classify = nn.Linear(n_features, n_classes)

    def forward(self, features, lengths):
        mean = features.mean(dim=2)  # [batch, features]
        return self.gain * self.classify(mean), torch.softmax(features.sum(dim=1), dim=1)


def peak_to_rms(analysis):
    return np.sqrt(analysis.rms() + 1)


NETWORKS = {"Pooled": Pooled}
GROUPS = {"crest": FeatureGroup("ratio", fast=peak_to_rms)}


@pytest.fixture(scope="module")
def metadata(tiny_metadata):
    features = FeatureSettings(max_length=64, groups=("rms", "crest"), own_groups=GROUPS)
    return replace(tiny_metadata, architecture="Pooled", network={"gain": 50.0}, features=features)


@pytest.fixture(scope="module")
def models(metadata, tmp_path_factory):
    """A checkpoint, a .safetensors file and an .onnx file of that model."""
    folder = tmp_path_factory.mktemp("own")
    torch.manual_seed(0)
    recogniser = build_recogniser(metadata, NETWORKS).eval()
    checkpoint = write_checkpoint(recogniser, metadata, folder / "own.ckpt")
    paths = {"ckpt": checkpoint, "onnx": folder / "graph.onnx"}
    graph = onnx_model(recogniser, metadata, checkpoint)
    paths["onnx"].write_bytes(graph)
    write_metadata(paths["onnx"], graph, metadata)
    return paths


@pytest.mark.parametrize("kind", ["ckpt", "onnx"])
def test_a_model_of_ones_own_predicts(models, kind, voice_file):
    predictor = Predictor.load(models[kind], networks=NETWORKS, feature_groups=GROUPS)
    expected = Predictor(
        Predictor.load(models["ckpt"], networks=NETWORKS, feature_groups=GROUPS).scorer, predictor.metadata
    )
    ours, theirs = predictor.predict(voice_file), expected.predict(voice_file)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-5)
    assert ours.confidence > 0.2


def test_what_is_not_handed_in_is_one_sentence_with_the_argument(models):
    with pytest.raises(CheckpointError, match=r"own\.ckpt cannot be used: .*'crest'.*feature_groups=\{'crest': "):
        Predictor.load(models["ckpt"], networks=NETWORKS)
    with pytest.raises(CheckpointError, match=r"own\.ckpt cannot be used: .*'Pooled'.*networks=\{'Pooled': "):
        Predictor.load(models["ckpt"], feature_groups=GROUPS)
    with pytest.raises(CheckpointError, match=r"graph\.json cannot be used: .*feature_groups=\{'crest': "):
        Predictor.load(models["onnx"])
    for wrong in ({"Pooled": Pooled(n_features=2, n_classes=8)}, {"Pooled": 3}):
        with pytest.raises(SettingsError, match=r"^networks has (Pooled|3).* for 'Pooled', but should have its"):
            Predictor.load(models["ckpt"], networks=wrong, feature_groups=GROUPS)
    for wrong in ([Pooled], 3, Pooled, {3: Pooled}):
        with pytest.raises(SettingsError, match=r"^networks is .*, but should be a dict of each name and its class"):
            Predictor.load(models["ckpt"], networks=wrong, feature_groups=GROUPS)
    with pytest.raises(SettingsError, match=r"^feature_groups is \['crest'\], but should be a dict of each name and"):
        Predictor.load(models["onnx"], feature_groups=["crest"])
    for wrong in ({"crest": peak_to_rms}, {"mel": GROUPS["crest"]}):
        with pytest.raises(CheckpointError, match=r"own\.ckpt cannot be used: "):
            Predictor.load(models["ckpt"], networks=NETWORKS, feature_groups=wrong)


def test_workers_compute_a_group_of_ones_own(models, voice_file):
    predictor = Predictor.load(models["ckpt"], networks=NETWORKS, feature_groups=GROUPS)
    alone = predictor.predict(voice_file)
    for result in predictor.predict_many([voice_file] * 20, workers=2):
        np.testing.assert_allclose(result.probabilities, alone.probabilities, rtol=0, atol=1e-6)


def test_a_published_model_of_ones_own_predicts(models, metadata, tmp_path, voice_file):
    groups = {"feature_groups": GROUPS}
    recogniser, _ = load_recogniser(models["ckpt"], networks=NETWORKS, **groups)
    path = tmp_path / "own.safetensors"
    write_pretrained(path, recogniser, metadata, networks=NETWORKS)
    ours = Predictor.load(path, networks=NETWORKS, **groups).predict(voice_file)
    theirs = Predictor.load(models["ckpt"], networks=NETWORKS, **groups).predict(voice_file)
    np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)
    with pytest.raises(CheckpointError, match=r"own\.json cannot be used: .*networks=\{'Pooled': "):
        Predictor.load(path, **groups)
