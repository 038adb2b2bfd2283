"""What is known of a model beside its metadata: the scores of its run, and whether a recording was in training."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePath

from app.model_choice import ModelFile
from ser.inference.run_folder import LAST
from ser.models.metadata import ModelMetadata, RecipeScores

_SCORED = {"test": "Test", ".": "Validation"}
"""Folder of the scores in a run's folder -> the part that was scored."""
_OF_RECIPE = "Networks of the same recipe, not this file itself"
_NAMES = {
    **{"ravdess": "RAVDESS", "cremad": "CREMA-D", "emodb": "EmoDB", "emovo": "EMOVO", "nemo": "nEMO", "savee": "SAVEE"},
    **{"tess": "TESS", "aesdd": "AESDD", "ased": "ASED", "turev": "TurEV-DB", "urdu": "URDU"},
    **{"kemotts": "emotiontts_open_db", "javanese": "a corpus of Javanese"},
    "manifest": "recordings of its maker's own",
}
"""Corpora as their authors write them."""


@dataclass(frozen=True, kw_only=True)
class KnownScores:
    """The scores of a model on one part.

    Attributes
    ----------
    part : "Test", "Validation", or that the scores are of other networks of the recipe.
    protocol : one sentence on the split and on what chose the checkpoint.
    n_recordings : the number of recordings.
    accuracy, uar : in [0, 1].
    """

    part: str
    protocol: str
    n_recordings: int
    accuracy: float
    uar: float

    @property
    def is_of_recipe(self) -> bool:
        """Whether the scores are of other networks of the recipe."""
        return self.part == _OF_RECIPE

    @property
    def voices(self) -> str:
        """Whose voices were scored, as far as the protocol says: those of the kind begin with the word; else ""."""
        kind = self.protocol.partition(",")[0].strip().lower()
        return {"speaker-independent": "unseen speakers", "cross-corpus": "speakers of unseen corpora"}.get(kind, "")


def corpora_of(metadata: ModelMetadata) -> list[str]:
    """Return the names of the corpora that a model was trained on, as far as its metadata tell."""
    corpus = _data_setting(metadata, "corpus")
    names = list(metadata.corpora) or ([corpus] if isinstance(corpus, str) and corpus else [])
    return [_NAMES.get(name, name) for name in names if name != "synthetic"]


def is_trained_on_synthetic(metadata: ModelMetadata) -> bool:
    """Whether the model was trained on the built-in synthetic corpus."""
    return _data_setting(metadata, "corpus") == "synthetic"


def was_in_training(file_name: str, metadata: ModelMetadata) -> str:
    """Return a sentence on whether the model was trained on `file_name`, which is named as a recording of RAVDESS."""
    if is_trained_on_synthetic(metadata):
        return "The model was trained on synthetic voices only, not on this recording."
    if PurePath(file_name).stem in metadata.scored_names:
        return "The model was not trained on this recording: it was held out."
    if _data_setting(metadata, "split") == "all" and "RAVDESS" in corpora_of(metadata):
        return "The model was trained on every recording of RAVDESS, this one too: a correct prediction proves nothing."
    return "The model may have been trained on this very recording; then a correct prediction proves nothing."


def _data_setting(metadata: ModelMetadata, key: str) -> object:
    data = metadata.configuration.get("data")
    return data.get(key) if isinstance(data, Mapping) else None


def find_scores(model: ModelFile, metadata: ModelMetadata) -> list[KnownScores]:
    """Return the scores of the model's recipe, if it bears any; else those in the folder of its run, test first."""
    values = [getattr(metadata, field.name) for field in fields(metadata)]
    recipe = [value for value in values if isinstance(value, RecipeScores)]
    if recipe:
        return [
            KnownScores(
                part=_OF_RECIPE,
                protocol=scores.protocol,
                n_recordings=scores.n_recordings,
                accuracy=scores.accuracy,
                uar=scores.uar,
            )
            for scores in recipe
        ]
    if model.path.name == LAST:
        return []  # the run scored its best checkpoint, which this is not
    found = [_read_scores(model.run / folder / "metrics.json", part) for folder, part in _SCORED.items()]
    return [scores for scores in found if scores is not None]


def _read_scores(path: Path, part: str) -> KnownScores | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        overall = content["overall"]
        return KnownScores(
            part=part,
            protocol=str(content["protocol"]),
            n_recordings=int(content["n_recordings"]),
            accuracy=float(overall["accuracy"]),
            uar=float(overall["uar"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing, or written by something else
