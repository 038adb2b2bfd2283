import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from ser.cli.main import main
from ser.evaluation.publish import publish
from ser.features.settings import FeatureSettings
from ser.inference.metadata_file import digest_of
from ser.inference.onnx_backend import OnnxScorer
from ser.inference.predictor import Predictor
from ser.models.metadata import RecipeScores
from ser.models.registry import build_recogniser
from tests.checkpoints import write_checkpoint
from tests.command_line import is_one_sentence

RESULTS = dict.fromkeys(
    ("protocol", "keeps_last", "command", "folds", "seeds", "class_names", "bootstrap", "target_selective_accuracy")
) | {"summary": {}}


@pytest.fixture
def exporting():
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'ser[export]'")


@pytest.mark.usefixtures("exporting")
def test_the_command_writes_a_model_that_its_name_loads(tmp_path, monkeypatch, capsys, tiny_checkpoint, voice_file):
    folder = tmp_path / "models"  # in place of the package
    monkeypatch.setattr("ser.cli.publish.MODELS", folder)
    monkeypatch.setattr("ser.inference.pretrained.MODELS", folder)
    assert main(["publish", str(tiny_checkpoint), "--name", "small"]) == 0
    weights, beside, graph = paths = [folder / f"small{suffix}" for suffix in (".safetensors", ".json", ".onnx")]
    assert capsys.readouterr() == ("".join(f"{path}\n" for path in paths), "")
    content = json.loads(beside.read_text(encoding="utf-8"))
    assert content["sha256"] == digest_of(weights.read_bytes())
    assert content["onnx_sha256"] == digest_of(graph.read_bytes())
    expected = Predictor.load(tiny_checkpoint).predict(voice_file).probabilities
    np.testing.assert_allclose(Predictor.load("small").predict(voice_file).probabilities, expected, atol=1e-6)
    predictor = Predictor.load(graph)
    assert isinstance(predictor.scorer, OnnxScorer)
    np.testing.assert_allclose(predictor.predict(voice_file).probabilities, expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("exporting")
def test_the_baseline_network_stays_below_10_mb(tmp_path, tiny_metadata):
    scored = ("03-01-01-01-01-01-01",) * 491
    metadata = replace(tiny_metadata, network={}, features=FeatureSettings(), scored_recordings=scored)
    recogniser = build_recogniser(metadata)
    checkpoint = write_checkpoint(recogniser, metadata, tmp_path / "full.ckpt")
    paths = publish(checkpoint, tmp_path / "models" / "full.safetensors")
    assert [path.suffix for path in paths] == [".safetensors", ".json", ".onnx"]
    assert 4 * sum(tensor.numel() for tensor in recogniser.state_dict().values()) < paths[0].stat().st_size
    assert sum(path.stat().st_size for path in paths) < 10e6


def test_without_the_export_extra_the_graph_is_left_out(tiny_checkpoint, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "onnx", None)
    paths = publish(tiny_checkpoint, tmp_path / "small.safetensors")
    assert [path.name for path in paths] == ["small.safetensors", "small.json"]
    assert sorted(paths) == sorted(tmp_path.iterdir())
    assert "No .onnx file is written: format=onnx needs onnx" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run --name ../x", "publish.name is '../x', but should be text that matches ^[a-z0-9]"),
        ("--name Small.1 run", "publish.name is 'Small.1'"),
        ("run --name=", "publish.name is ''"),
        ("missing.ckpt --name x", "missing.ckpt: there is no such checkpoint"),
    ],
)
def test_what_the_command_cannot_do_is_said_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["publish", *arguments.split()]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert is_one_sentence(printed.err, f"error: {message}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("exporting")
def test_a_cross_validation_gives_temperature_and_threshold(tmp_path, tiny_checkpoint, voice_file):
    runs = [
        {"seed": "42", "temperature": 1.0, "rejection_threshold": 0.5},
        {"seed": "43", "temperature": 4.0, "rejection_threshold": None},
        {"seed": "ensemble", "temperature": 9.0, "rejection_threshold": 0.1},
    ]
    (tmp_path / "results.json").write_text(json.dumps(RESULTS | {"runs": runs}), encoding="utf-8")
    to = ["--name=warm", f"--folder={tmp_path}", f"--cross-validation={tmp_path}"]
    assert main(["publish", str(tiny_checkpoint), *to]) == 0
    cold = Predictor.load(tiny_checkpoint).predict(voice_file).probabilities.astype(np.float64)
    expected = np.sqrt(cold) / np.sqrt(cold).sum()  # temperature 2
    for suffix in ("safetensors", "onnx"):
        predictor = Predictor.load(tmp_path / f"warm.{suffix}")
        assert predictor.metadata.temperature == pytest.approx(2.0)
        assert predictor.metadata.rejection_threshold == pytest.approx(0.75)
        np.testing.assert_allclose(predictor.predict(voice_file).probabilities, expected, atol=1e-5)


def test_a_cross_validation_gives_the_scores_of_the_recipe(tmp_path, tiny_checkpoint):
    part = {
        "mean_over_folds": {"uar": {"mean": 0.67, "sd": 0.01}, "accuracy": {"mean": 0.68, "sd": None}},
        "pooled": {"all_seeds": {"n_recordings": 180}, "reliability": {}},
    }
    runs = [{"seed": "42", "temperature": 1.0, "rejection_threshold": 0.5}]
    results = {"protocol": "Unseen speakers.", "seeds": [42, 43], "summary": {"test": part}, "runs": runs}
    (tmp_path / "results.json").write_text(json.dumps(RESULTS | results), encoding="utf-8")
    path = publish(tiny_checkpoint, tmp_path / "scored.safetensors", cross_validation=tmp_path)[0]
    expected = RecipeScores(protocol="Unseen speakers.", n_recordings=90, accuracy=0.68, uar=0.67)
    assert Predictor.load(path).metadata.recipe_scores == expected


@pytest.mark.parametrize("runs", [[], [{"seed": "1"}], [{"seed": "1", "temperature": "x", "rejection_threshold": 0}]])
def test_what_is_no_cross_validation_calibrates_nothing(tiny_checkpoint, tmp_path, capsys, runs):
    (tmp_path / "results.json").write_text(json.dumps(RESULTS | {"runs": runs}), encoding="utf-8")
    to = ["--name=warm", f"--folder={tmp_path}", f"--cross-validation={tmp_path}"]
    assert main(["publish", str(tiny_checkpoint), *to]) == 1
    assert "results.json holds no run with its calibration" in capsys.readouterr().err
    assert not list(tmp_path.glob("warm.*"))
