"""A model and a recording in, probabilities with names out; checkpoints, pretrained models, export.

Names are imported when they are used: `predictor` needs no torch, `checkpoint` and `export` do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser.inference.checkpoint import load_recogniser
    from ser.inference.export import export_onnx
    from ser.inference.predictor import Prediction, Predictor, Timeline

_MODULES = {
    "Prediction": "predictor",
    "Predictor": "predictor",
    "Timeline": "predictor",
    "export_onnx": "export",
    "load_recogniser": "checkpoint",
}
__all__ = ["Prediction", "Predictor", "Timeline", "export_onnx", "load_recogniser"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
