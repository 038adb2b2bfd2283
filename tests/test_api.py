"""What `import ser` gives, and what a base install needs for it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser
from ser.inference.context import SpeakerContext
from ser.inference.predictor import Predictor
from ser.inference.pretrained import MODELS
from ser.inference.results import Failure, Prediction

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
OPTIONAL = (
    "torch", "lightning", "hydra", "omegaconf", "yaml", "librosa", "sklearn", "torchmetrics", "tensorboard", "scipy",
    "numba", "matplotlib", "pandas", "pyarrow", "pooch", "safetensors", "tabulate", "streamlit", "onnx",
)  # fmt: skip
"""What the extras bring: none of it is needed to predict."""
BASE = {"numpy", "onnxruntime", "soundfile", "soxr", "threadpoolctl", "pydantic"}

HIDDEN = f"""
import json, sys
sys.modules.update(dict.fromkeys({OPTIONAL!r}))
from ser import Predictor
print(json.dumps(Predictor.load("ser-ravdess").predict(sys.argv[1]).to_dict()))
"""

MEASURED = """
import json, sys
import ser
before = sorted(sys.modules)
ser.Predictor
print(json.dumps([before, sorted(sys.modules)]))
"""


def run(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_the_package_has_its_public_names():
    assert (ser.Predictor, ser.Prediction, ser.Failure) == (Predictor, Prediction, Failure)
    assert ser.SpeakerContext is SpeakerContext
    assert ser.load_model == Predictor.load
    names = {"Predictor", "Prediction", "Failure", "SpeakerContext", "load_model", "__version__"}
    assert set(dir(ser)) == set(ser.__all__) == names
    with pytest.raises(AttributeError, match="module 'ser' has no attribute 'Predicter'"):
        ser.Predicter  # noqa: B018


def test_importing_the_package_imports_nothing_of_it_and_nothing_heavy():
    before, after = run(MEASURED)
    assert not [name for name in before if name.startswith("ser.")]
    assert not {*OPTIONAL, *BASE} & set(before)
    assert "ser.inference.predictor" in after
    assert not {*OPTIONAL, "onnxruntime"} & set(after)


def test_a_base_install_predicts_by_name_what_the_model_predicts(tmp_path, voice):
    path = tmp_path / "voice.wav"
    soundfile.write(path, voice, 22050)
    there = Predictor.load(MODELS / "ser-ravdess.onnx").predict(path).to_dict()
    assert run(HIDDEN, str(path)) == there
    by_torch = Predictor.load(MODELS / "ser-ravdess.safetensors").predict(path)
    np.testing.assert_allclose(list(there["probabilities"].values()), by_torch.probabilities, rtol=0, atol=1e-6)


def test_the_lines_of_the_readme_run(tmp_path, voice, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    soundfile.write("hello.wav", voice, 22050)
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - our own
    shown = capsys.readouterr().out
    assert re.search(r"^(?:\w+) 0\.\d+ (?:True|False)$", shown, re.MULTILINE)
    assert "'start': 0.0" in shown
