"""Speech emotion recognition: train it on any corpus, check it, and use it on your own recordings.

>>> from ser import load_model
>>> load_model().class_names[:3]
('neutral', 'calm', 'happy')
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser.inference.context import SpeakerContext
    from ser.inference.predictor import Predictor
    from ser.inference.results import Failure, Prediction

    load_model = Predictor.load

__version__ = "0.1.0"
__all__ = ["Failure", "Prediction", "Predictor", "SpeakerContext", "__version__", "load_model"]


def __getattr__(name: str) -> Any:
    """Import what predicts only once it is asked for: every command imports this package."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ser.inference import predictor

    return predictor.Predictor.load if name == "load_model" else getattr(predictor, name)


def __dir__() -> list[str]:
    return __all__
