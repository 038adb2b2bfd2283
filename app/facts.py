"""What is known of a model beside what it says of itself: how well it did when it was scored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from app.model_choice import ModelFile
from ser.inference.run_folder import LAST
from ser.models.metadata import ModelMetadata

_SCORED = {"test": "Test", ".": "Validation"}
"""Where `train.py` writes the figures in a run's folder, and what was scored there."""


@dataclass(frozen=True, kw_only=True)
class KnownScores:
    """How well a model did.

    Attributes
    ----------
    part : what was scored, "Test" or "Validation".
    protocol : one sentence on what that was and how the model was chosen.
    n_recordings : how many.
    accuracy, uar, weighted_f1 : shares in [0, 1].
    """

    part: str
    protocol: str
    n_recordings: int
    accuracy: float
    uar: float
    weighted_f1: float


def knows_made_up_voices_only(metadata: ModelMetadata) -> bool:
    """Whether the model was trained on the built-in synthetic corpus."""
    return _data_setting(metadata, "corpus") == "synthetic"


def was_in_training(file_name: str, metadata: ModelMetadata) -> str:
    """Return a sentence on whether the model was trained on the RAVDESS recording `file_name`."""
    if knows_made_up_voices_only(metadata):
        return "The model has heard made-up voices only, none of RAVDESS."
    if _data_setting(metadata, "split") == "all":
        return "The model was trained on every recording of RAVDESS, this one too: a right answer proves nothing."
    if PurePath(file_name).stem in metadata.scored_recordings:
        return "The model was not trained on this recording: it was held out."
    return "The model may have been trained on this very recording; then a right answer proves nothing."


def _data_setting(metadata: ModelMetadata, key: str) -> object:
    data = metadata.configuration.get("data")
    return data.get(key) if isinstance(data, Mapping) else None


def find_figures(model: ModelFile) -> list[KnownScores]:
    """Return the figures in the folder of the model's run, those of unseen actors first; none of them is an error."""
    if model.path.name == LAST:
        return []  # the run scored its best checkpoint, which this is not
    found = [_read_figures(model.run / folder / "metrics.json", part) for folder, part in _SCORED.items()]
    return [figures for figures in found if figures is not None]


def _read_figures(path: Path, part: str) -> KnownScores | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        overall = content["overall"]
        return KnownScores(
            part=part,
            protocol=str(content["protocol"]),
            n_recordings=int(content["n_recordings"]),
            accuracy=float(overall["accuracy"]),
            uar=float(overall["uar"]),
            weighted_f1=float(overall["weighted_f1"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing, or written by something else
