"""Networks as plain `torch.nn.Module`s, utterance-level heads, the recogniser round them, metadata of a model.

`registry` names the architectures. Only `metadata` does without torch, so names are imported when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser.models.metadata import ModelMetadata
    from ser.models.recogniser import Recogniser
    from ser.models.registry import ARCHITECTURES, build_recogniser

_MODULES = {
    "ARCHITECTURES": "registry",
    "ModelMetadata": "metadata",
    "Recogniser": "recogniser",
    "build_recogniser": "registry",
}
__all__ = ["ARCHITECTURES", "ModelMetadata", "Recogniser", "build_recogniser"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
