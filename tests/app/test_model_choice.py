import os
from pathlib import Path

import pytest

from app.model_choice import find_models, label_of, load_model, named_model, open_model
from ser.errors import CheckpointError, SettingsError
from ser.inference.checkpoint import load_recogniser
from ser.inference.pretrained import DEFAULT_MODEL, write_pretrained


def test_the_command_line_goes_before_the_environment():
    environment = {"SER_CHECKPOINT": "from/environment"}
    assert named_model(["--model", "from=line"], environment) == Path("from=line")
    assert named_model(["--model=from/a=b"], environment) == Path("from/a=b")
    assert named_model([], environment) == Path("from/environment")
    assert named_model([], {"SER_CHECKPOINT": ""}) is named_model([], {}) is None
    for arguments in (["--modl", "x"], ["--model"], ["--model", "x", "y"], ["x"]):
        with pytest.raises(SettingsError, match=f"^{' '.join(arguments)} is not an argument of the app; "):
            named_model(arguments, {})


def test_a_run_is_opened_as_its_best_checkpoint(runs):
    run = runs / "outputs/train/2026-01-31_12-00-05"
    model = open_model(run)
    assert (model.path, model.run, model.runtime) == (run / "checkpoints/best.ckpt", run, "PyTorch")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        open_model(runs / "missing.ckpt")


def test_a_file_written_anew_is_another_model(tmp_path):
    onnx, metadata = tmp_path / "model.onnx", tmp_path / "model.json"
    onnx.write_bytes(b"graph")
    metadata.write_text("{}")
    first = open_model(onnx)
    assert open_model(onnx) == first
    metadata.write_text("{ }")
    second = open_model(onnx)
    os.utime(onnx, ns=(1, 1))
    assert len({first, second, open_model(onnx)}) == 3


def test_models_are_found_newest_first_and_the_pretrained_before_all(runs, pretrained_models):
    outputs = runs / "outputs"
    of_runs = ["sweep · 2026-02-01 08:30 · 0 · PyTorch", "train · 2026-01-31 12:00 · ONNX Runtime"]
    of_runs += ["light · small.onnx · ONNX Runtime", "train · 2026-01-31 12:00 · PyTorch"]
    assert [label_of(model, outputs) for model in find_models(outputs)] == of_runs
    assert find_models(runs / "nothing") == []
    pretrained_models.mkdir()
    for name in ("ant.onnx", "ant.json", f"{DEFAULT_MODEL}.safetensors", f"{DEFAULT_MODEL}.json"):
        (pretrained_models / name).touch()
    labels = [label_of(model, outputs) for model in find_models(outputs)]
    assert labels == ["ser-voices · PyTorch", "ant · ONNX Runtime", *of_runs]


def test_a_pretrained_model_is_opened_by_name(pretrained_models, tiny_checkpoint, tiny_metadata):
    path = pretrained_models / "small.safetensors"
    write_pretrained(path, *load_recogniser(tiny_checkpoint))
    model = open_model(Path("small"))
    assert (model.path, model.runtime) == (path, "PyTorch")
    assert load_model(model).metadata == tiny_metadata
    os.utime(path.with_suffix(".json"), ns=(1, 1))
    assert open_model(Path("small")) != model
    with pytest.raises(CheckpointError, match=r"model of that name; .* are small"):
        open_model(Path("large"))


@pytest.fixture
def runs(tmp_path):
    """Four models of four ages, and files that are none."""
    files = {
        "train/2026-01-31_12-00-05/checkpoints/best.ckpt": 1,
        "light/small.onnx": 2,
        "train/2026-01-31_12-00-05/model.onnx": 3,
        "sweep/2026-02-01_08-30-00/0/checkpoints/best.ckpt": 4,
        "train/2026-01-31_12-00-05/checkpoints/last.ckpt": 9,
        "light/without_metadata.onnx": 9,
    }
    for name, age in files.items():
        path = tmp_path / "outputs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, ns=(age, age))
    for name in ("light/small", "train/2026-01-31_12-00-05/model"):
        (tmp_path / "outputs" / f"{name}.json").touch()
    return tmp_path
