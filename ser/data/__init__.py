"""From recordings to batches: feature cache, normalisation statistics, samplers, the LightningDataModule.

`files` and `workers` are light helpers that other rooms use; names are imported when they are used, so that those two
bring neither torch nor scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser.data.cache import Prepared, Recipe, Sample, prepare
    from ser.data.datamodule import EmotionData

_MODULES = {
    "EmotionData": "datamodule",
    "Prepared": "cache",
    "Recipe": "cache",
    "Sample": "cache",
    "prepare": "cache",
}
__all__ = ["EmotionData", "Prepared", "Recipe", "Sample", "prepare"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
