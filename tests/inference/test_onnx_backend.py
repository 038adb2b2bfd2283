import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ser.errors import CheckpointError
from ser.inference.export import export_onnx
from ser.inference.onnx_backend import OnnxScorer
from ser.inference.predictor import Predictor

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'ser[export]'")
pytest.importorskip("onnx", reason="onnx, which makes the models of these tests, is not installed: see 'ser[export]'")

HEAVY = ("torch", "lightning", "hydra", "omegaconf", "librosa", "sklearn")
PREDICT = """
import sys
from pathlib import Path
from ser.inference.predictor import Predictor
prediction = Predictor.load(Path(sys.argv[1])).predict(Path(sys.argv[2]))
print(*map(float, prediction.probabilities))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def exported(tiny_checkpoint, tmp_path_factory):
    """The bytes of the .onnx and the content of the .json of the tiny checkpoint."""
    path = export_onnx(tiny_checkpoint, tmp_path_factory.mktemp("exported") / "model.onnx")
    return path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.fixture
def model(exported, tmp_path):
    """A model of one's own, to spoil."""
    path = tmp_path / "model.onnx"
    path.write_bytes(exported[0])
    path.with_suffix(".json").write_text(json.dumps(exported[1]), encoding="utf-8")
    return path


def test_a_prediction_is_that_of_pytorch(model, tiny_checkpoint, voice_file):
    theirs, ours = (Predictor.load(path).predict(voice_file) for path in (tiny_checkpoint, model))
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.attention, theirs.attention, rtol=0, atol=1e-5)
    assert (ours.class_names, ours.emotion, ours.warnings) == (theirs.class_names, theirs.emotion, theirs.warnings)


def test_the_runtime_reports_to_nobody(model, voice_file, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}  # without CI, which silences the runtime too
    command = [sys.executable, "-B", "-c", PREDICT, str(model), str(voice_file)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert not list(home.iterdir())


def test_the_predictor_takes_the_runtime_by_the_suffix(model):
    scorer = Predictor.load(model).scorer
    assert isinstance(scorer, OnnxScorer)
    assert scorer.session.get_session_options().intra_op_num_threads == 1


def test_prediction_loads_neither_pytorch_nor_what_training_needs(model, tiny_checkpoint, voice_file):
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, str(model), str(voice_file)], check=True, capture_output=True, text=True
    )
    probabilities, modules = done.stdout.splitlines()
    assert "onnxruntime" in modules.split()
    assert not set(HEAVY) & set(modules.split())
    expected = Predictor.load(tiny_checkpoint).predict(voice_file).probabilities
    np.testing.assert_allclose([float(number) for number in probabilities.split()], expected, rtol=0, atol=1e-5)


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone\.onnx: there is no such model; .*ser export"):
        Predictor.load(tmp_path / "gone.onnx")


def test_a_model_without_its_metadata_is_refused(model):
    model.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match=r"model\.onnx lacks its metadata: model\.json"):
        Predictor.load(model)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_damaged_metadata_are_refused(model, content):
    model.with_suffix(".json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.json is damaged: it is not JSON"):
        Predictor.load(model)


@pytest.mark.parametrize("content", [[], {}, {"metadata": "x"}, None])
def test_foreign_metadata_are_refused(model, content):
    model.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"model\.json is not the metadata of a model of this project"):
        Predictor.load(model)


def test_one_wrong_byte_is_noticed(model):
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.onnx is not the model of model\.json"):
        Predictor.load(model)


def test_a_file_that_is_no_model_is_refused(model, exported):
    model.write_bytes(b"words")
    forged = exported[1] | {"sha256": hashlib.sha256(b"words").hexdigest()}
    model.with_suffix(".json").write_text(json.dumps(forged), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"model\.onnx is damaged or not an ONNX model"):
        Predictor.load(model)


@pytest.mark.parametrize(
    "change", [{"class_names": ["sad", "happy"]}, {"features": {"max_length": 65}}, {"features": {"n_mfcc": 12}}]
)
def test_metadata_of_another_graph_are_refused(model, exported, change):
    metadata = exported[1]["metadata"]
    change = {key: metadata[key] | value if isinstance(value, dict) else value for key, value in change.items()}
    content = exported[1] | {"metadata": metadata | change}
    model.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"model\.onnx maps .* does not fit model\.json"):
        Predictor.load(model)


def test_a_bad_setting_in_the_metadata_is_named(model, exported):
    content = exported[1] | {"metadata": exported[1]["metadata"] | {"protocol": 3}}
    model.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"model\.json cannot be used: checkpoint\.protocol is 3"):
        Predictor.load(model)


def test_a_missing_runtime_is_named_with_the_remedy(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CheckpointError, match=r"model\.onnx needs onnxruntime; .*pip install 'ser\[onnx\]'"):
        Predictor.load(model)
