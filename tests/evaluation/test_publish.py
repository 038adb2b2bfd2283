import json
import shutil
import sys

import numpy as np
import pytest
import torch

from ser.cli.publish import main
from ser.corpora.ravdess import EMOTIONS
from ser.errors import CheckpointError
from ser.evaluation.publish import publish
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain
from ser.inference.checkpoint import PREFIX, fresh_recogniser, save_atomically
from ser.inference.metadata_file import digest_of
from ser.inference.onnx_backend import OnnxScorer
from ser.inference.predictor import Predictor
from ser.models.metadata import ModelMetadata


@pytest.fixture
def run(tmp_path, tiny_checkpoint):
    """The folder of a run."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    shutil.copy(tiny_checkpoint, folder / "checkpoints" / "best.ckpt")
    return folder


@pytest.fixture
def exporting():
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'ser[export]'")


@pytest.mark.usefixtures("exporting")
def test_the_command_writes_a_model_that_its_name_loads(
    run, tmp_path, monkeypatch, capsys, tiny_checkpoint, voice_file
):
    folder = tmp_path / "models"
    assert main([f"checkpoint={run}", "name=small", f"folder={folder}"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [f"{folder}/small.safetensors", f"{folder}/small.json", f"{folder}/small.onnx"]
    assert told.err == ""
    content = json.loads((folder / "small.json").read_text(encoding="utf-8"))
    assert content["sha256"] == digest_of((folder / "small.safetensors").read_bytes())
    assert content["onnx_sha256"] == digest_of((folder / "small.onnx").read_bytes())
    monkeypatch.setattr("ser.inference.pretrained.MODELS", folder)
    expected = Predictor.load(tiny_checkpoint).predict(voice_file).probabilities
    np.testing.assert_array_equal(Predictor.load("small").predict(voice_file).probabilities, expected)
    graph = Predictor.load(folder / "small.onnx")
    assert isinstance(graph.scorer, OnnxScorer)
    np.testing.assert_allclose(graph.predict(voice_file).probabilities, expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("exporting")
def test_the_original_network_stays_below_10_mb(tmp_path):
    metadata = ModelMetadata(
        architecture="cnn_bilstm_luong",
        network={},
        class_names=EMOTIONS,
        features=FeatureSettings(),
        protocol="Random weights: nothing was learnt.",
        scored_recordings=("03-01-01-01-01-01-01",) * 491,
    )
    state = {PREFIX + name: tensor for name, tensor in fresh_recogniser(metadata).state_dict().items()}
    save_atomically({"state_dict": state, "ser": as_plain(metadata)}, tmp_path / "full.ckpt")
    paths = publish(tmp_path / "full.ckpt", tmp_path / "models" / "full.safetensors")
    assert [path.suffix for path in paths] == [".safetensors", ".json", ".onnx"]
    assert 4 * sum(tensor.numel() for tensor in state.values()) < paths[0].stat().st_size
    assert sum(path.stat().st_size for path in paths) < 10e6


def test_models_lie_in_the_package_unless_told_otherwise(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ser.cli.publish.MODELS", tmp_path / "package")
    assert main([f"checkpoint={run}", "name=small"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/package/small.safetensors\n")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_export_extra_the_graph_is_left_out(run, tmp_path, monkeypatch, caplog, package):
    monkeypatch.setitem(sys.modules, package, None)
    paths = publish(run, tmp_path / "small.safetensors")
    assert [path.name for path in paths] == ["small.safetensors", "small.json"]
    assert all(path.is_file() for path in paths)
    assert not (tmp_path / "small.onnx").exists()
    assert f"No .onnx file is written: format=onnx needs {package}" in caplog.text


def test_weights_that_are_not_finite_are_not_published(tiny_content, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    weights = dict(tiny_content["state_dict"])
    weights[f"{PREFIX}network.classify.bias"] = torch.full((8,), float("nan"))
    save_atomically({**tiny_content, "state_dict": weights}, tmp_path / "nan.ckpt")
    with pytest.raises(CheckpointError, match=r"classify\.bias that are not finite"):
        publish(tmp_path / "nan.ckpt", tmp_path / "models" / "nan.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["nan.ckpt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=run"], "publish.name is missing."),
        (["name=small"], "publish.checkpoint is missing."),
        (["checkpoint=run", "name=../x"], "publish.name is '../x', but should be text that matches ^[a-z0-9]"),
        (["checkpoint=run", "name=Small.1"], "publish.name is 'Small.1'"),
        (["checkpoint=run", "name="], "publish.name is ''"),
        (["checkpoint=run", "name=x", "foldr=y"], "publish.foldr is not a setting; did you mean 'folder'."),
        (["checkpoint=missing.ckpt", "name=x"], "missing.ckpt: there is no such checkpoint"),
    ],
)
def test_what_the_command_cannot_do_is_told_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"error: {message}")
    assert told.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


RESULTS = dict.fromkeys(
    ("protocol", "keeps_last", "command", "folds", "seeds", "class_names", "bootstrap", "target_selective_accuracy")
) | {"summary": {}}


@pytest.mark.usefixtures("exporting")
def test_a_cross_validation_gives_temperature_and_threshold(run, tmp_path, tiny_checkpoint, voice_file):
    runs = [
        {"seed": "42", "temperature": 1.0, "rejection_threshold": 0.5},
        {"seed": "43", "temperature": 4.0, "rejection_threshold": None},
        {"seed": "ensemble", "temperature": 9.0, "rejection_threshold": 0.1},
    ]
    (tmp_path / "results.json").write_text(json.dumps(RESULTS | {"runs": runs}), encoding="utf-8")
    assert main([f"checkpoint={run}", "name=warm", f"folder={tmp_path}", f"cross_validation={tmp_path}"]) == 0
    cold = Predictor.load(tiny_checkpoint).predict(voice_file).probabilities.astype(np.float64)
    expected = np.sqrt(cold) / np.sqrt(cold).sum()  # temperature 2
    for suffix in ("safetensors", "onnx"):
        predictor = Predictor.load(tmp_path / f"warm.{suffix}")
        assert predictor.metadata.temperature == pytest.approx(2.0)
        assert predictor.metadata.rejection_threshold == pytest.approx(0.75)
        np.testing.assert_allclose(predictor.predict(voice_file).probabilities, expected, atol=1e-5)


@pytest.mark.parametrize(
    "runs", [None, [], [{"seed": "1"}], [{"seed": "1", "temperature": "x", "rejection_threshold": 0}]]
)
def test_what_is_no_cross_validation_calibrates_nothing(run, tmp_path, capsys, runs):
    if runs is not None:
        (tmp_path / "results.json").write_text(json.dumps(RESULTS | {"runs": runs}), encoding="utf-8")
    assert main([f"checkpoint={run}", "name=warm", f"folder={tmp_path}", f"cross_validation={tmp_path}"]) == 1
    assert "results.json" in capsys.readouterr().err
    assert not list(tmp_path.glob("warm.*"))
