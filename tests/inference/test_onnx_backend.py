import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from ser.errors import CheckpointError
from ser.inference.export import export_onnx
from ser.inference.onnx_backend import OnnxScorer
from ser.inference.predictor import Predictor
from tests.checkpoints import forge

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
    """The folder of the .onnx and the .json of the tiny checkpoint."""
    return export_onnx(tiny_checkpoint, tmp_path_factory.mktemp("exported") / "model.onnx").parent


@pytest.fixture
def model(exported, tmp_path):
    """A model of one's own, to spoil."""
    return shutil.copytree(exported, tmp_path / "own") / "model.onnx"


def test_a_prediction_is_that_of_pytorch(model, tiny_checkpoint, voice_file):
    predictor = Predictor.load(model)
    assert isinstance(predictor.scorer, OnnxScorer)
    assert predictor.scorer.session.get_session_options().intra_op_num_threads == 1
    theirs, ours = Predictor.load(tiny_checkpoint).predict(voice_file), predictor.predict(voice_file)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-5)
    attention = [each.segments[0].attention for each in (ours, theirs)]
    np.testing.assert_allclose(*attention, rtol=0, atol=1e-5)
    assert (ours.class_names, ours.emotion, ours.warnings) == (theirs.class_names, theirs.emotion, theirs.warnings)


def test_prediction_loads_nothing_of_training_and_reports_to_nobody(model, tiny_checkpoint, voice_file, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    # Without CI, which silences the runtime too.
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    command = [sys.executable, "-B", "-c", PREDICT, str(model), str(voice_file)]
    done = subprocess.run(command, env=environment | {"HOME": str(home)}, check=True, capture_output=True, text=True)
    probabilities, modules = done.stdout.splitlines()
    assert not list(home.iterdir())
    assert "onnxruntime" in modules.split()
    assert not set(HEAVY) & set(modules.split())
    expected = Predictor.load(tiny_checkpoint).predict(voice_file).probabilities
    np.testing.assert_allclose([float(number) for number in probabilities.split()], expected, rtol=0, atol=1e-5)


def test_what_is_no_model_is_refused(model):
    with pytest.raises(CheckpointError, match=r"gone\.onnx: there is no such model; .*ser export"):
        Predictor.load(model.with_name("gone.onnx"))
    forge(model, b"words")
    with pytest.raises(CheckpointError, match=r"model\.onnx is damaged or not an ONNX model"):
        Predictor.load(model)


@pytest.mark.parametrize(
    "change",
    [
        {"class_names": ["sad", "happy"]},
        {"features": {"max_length": 65}},
        {"features": {"max_length": 64, "n_mfcc": 12}},
    ],
)
def test_metadata_of_another_graph_are_refused(model, change):
    forge(model, model.read_bytes(), **change)
    with pytest.raises(CheckpointError, match=r"model\.onnx maps .* does not fit model\.json"):
        Predictor.load(model)


def test_a_missing_runtime_is_named_with_the_remedy(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CheckpointError, match=r"model\.onnx needs onnxruntime, .*: pip install onnxruntime\.$"):
        Predictor.load(model)
