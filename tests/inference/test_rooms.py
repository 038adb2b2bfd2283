"""What inference imports, and the way of one prediction through the rooms."""

import subprocess
import sys
from pathlib import Path

import pytest

import ser
from ser.inference.predictor import Predictor

TRAINING = {"lightning", "pytorch_lightning", "lightning_fabric", "hydra", "omegaconf", "sklearn"}


@pytest.mark.parametrize(
    ("modules", "on_torch"),
    [
        ("ser.data.workers, ser.inference.predictor, ser.inference.pretrained as p; p.default_model()", False),
        ("ser.inference.torch_backend, ser.inference.export, ser.models.registry", True),
    ],
)
def test_inference_imports_nothing_of_training_and_torch_only_for_a_torch_model(modules, on_torch):
    code = f"import sys, {modules}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    imported = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert ("torch" in imported) is on_torch
    assert not TRAINING & set(imported)


def test_a_prediction_passes_the_rooms_in_their_order(tiny_checkpoint, voice_file):
    """By the order in which calls return: what a room got from the rooms before it is there when it returns."""
    predictor = Predictor.load(tiny_checkpoint)
    package = Path(ser.__file__).parent
    rooms = []

    def remember(frame, event, _):
        path = Path(frame.f_code.co_filename)
        # Comprehensions are no functions, though Python 3.11 gives them a frame; the length of a window is a value.
        is_work = path.stem != "settings" and not frame.f_code.co_name.startswith("<")
        if event == "return" and path.is_relative_to(package) and is_work:
            room, *inside = path.relative_to(package).parts
            if inside and rooms[-1:] != [room]:
                rooms.append(room)

    sys.setprofile(remember)
    try:
        predictor.predict(voice_file)
    finally:
        sys.setprofile(None)
    assert rooms == ["audio", "features", "models", "inference"]
