"""The metadata of a model, whatever it runs on: everything but the weights. Plain values only, no torch."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Literal

from pydantic import Field

from ser.errors import CheckpointError, SettingsError
from ser.features.groups import FeatureGroup
from ser.features.settings import FeatureSettings
from ser.features.validation import (
    Fraction,
    FractionBelowOne,
    ListOf,
    Natural,
    Positive,
    PositiveNumber,
    read_settings,
    settings_dataclass,
)
from ser.models.encoder_metadata import EncoderMetadata
from ser.models.scored_names import MOST_NAMES, ScoredNames, hashes_of

FeatureGroups = Mapping[str, FeatureGroup]

FORMAT = 1

_MAX_VALUES, _MAX_DEPTH, _MAX_TEXT = 100_000, 32, 10_000
_MAX_LABEL = 100
"""Limits of metadata; those that name all recordings of RAVDESS have 3,000 values, 5 deep, of 200 characters."""


@settings_dataclass
class RecipeScores:
    """The scores of networks of a model's recipe in a cross-validation: not of the model itself.

    Attributes
    ----------
    protocol : on which recordings they were trained and scored.
    n_recordings : that were scored, in all folds.
    accuracy, uar : means over folds and seeds, in [0, 1].
    """

    protocol: str
    n_recordings: Positive
    accuracy: Fraction
    uar: Fraction


@settings_dataclass
class InitialModel:
    """The model whose weights a fine-tuned one was started from.

    Attributes
    ----------
    name : of a pretrained model, of a run's folder or of a file.
    sha256 : hexadecimal, of the file of its weights.
    protocol : its own sentence on the speakers that it was trained on.
    """

    name: str
    sha256: str
    protocol: str


@settings_dataclass
class ModelMetadata:
    """Everything but the weights of a model.

    Attributes
    ----------
    architecture, network : the name of a network (`ser.models.registry.network_name`) and its settings.
    utterance_head : a second classifier of statistics of the whole utterance (`ser.models.utterance_heads`): "linear",
        or "kernel", a kernel machine over training utterances, for seen speakers; None: there is none.
    fusion_weight : of that head in the late fusion, in [0, 1).
    encoder : the speech encoder that takes the place of acoustic features; None: there is none.
    class_names : any words, in the order of the outputs.
    features : the settings of sound and features.
    protocol : one sentence on the speakers of the training part and on what chose this checkpoint; of a fine-tuned
        model, that of the initial model too.
    init_from : the initial model of a fine-tuned one; None: it was trained from random weights.
    scored_recordings : names of the recordings that the run kept from training, to be scored; empty where there are
        more than `ser.models.scored_names.MOST_NAMES`.
    scored_hashes : their hashes then (`ser.models.scored_names.hashes_of`).
    corpus_root : where the corpus lay then; the scored recordings are looked for there first. Empty where there were
        several.
    corpora : name -> where it lay then, of several corpora.
    context : values of the summary of a recording, which speaker context is made of (`ser.models.context`); 0: the
        model takes none.
    temperature : the logits are divided by it, which calibrates the confidence (Guo et al. 2017).
    rejection_threshold : a prediction of less confidence is uncertain; 0: none is.
    recipe_scores : of a cross-validation of the recipe; None where there was none. Information only.
    configuration : the run's resolved configuration; information only.
    versions : of this project and the libraries at training; information only.
    """

    architecture: str
    network: dict[str, Any]
    utterance_head: Literal["linear", "kernel"] | None = None
    fusion_weight: FractionBelowOne = 0.0
    encoder: EncoderMetadata | None = None
    class_names: Annotated[ListOf[str], Field(min_length=2)]
    features: FeatureSettings
    protocol: str
    init_from: InitialModel | None = None
    scored_recordings: ListOf[str] = ()
    scored_hashes: ListOf[str] = ()
    corpus_root: str = ""
    corpora: dict[str, str] = field(default_factory=dict)
    context: Natural = 0
    temperature: PositiveNumber = 1.0
    rejection_threshold: Fraction = 0.0
    recipe_scores: RecipeScores | None = None
    configuration: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        for name in self.class_names:
            if not 0 < len(name) <= _MAX_LABEL or not name.isprintable() or name != name.strip():
                shown = name[:_MAX_LABEL]
                raise SettingsError(
                    f"class_names holds {shown!r}; a name is printable and of 1 to {_MAX_LABEL} letters."
                )
        if len(set(self.class_names)) < len(self.class_names):
            raise SettingsError("class_names holds a name twice.")
        _ = self.scored_names  # refuses what is none

    @property
    def scored_names(self) -> ScoredNames:
        """The names of the recordings that the run kept from training, made anew at every call."""
        return ScoredNames(self.scored_recordings, self.scored_hashes)


def with_scored(metadata: ModelMetadata, names: Sequence[str]) -> ModelMetadata:
    """Return the metadata with the names of the scored recordings: a list of a few, hashes of many."""
    if len(names) <= MOST_NAMES:
        return dataclasses.replace(metadata, scored_recordings=tuple(names))
    return dataclasses.replace(metadata, scored_hashes=hashes_of(names))


def read_metadata(values: Mapping[str, Any], path: Path, feature_groups: FeatureGroups | None = None) -> ModelMetadata:
    """Return the metadata from plain values of the file `path`.

    Parameters
    ----------
    feature_groups : those of one's own that the model was trained with, by name.

    Raises
    ------
    CheckpointError : an entry is missing, unknown or bad; it names the file.
    """
    _check_plain(values, path)
    if values.get("format", FORMAT) != FORMAT:
        raise CheckpointError(f"{path} has format {values['format']!r}; this release of ser reads {FORMAT}.")
    if feature_groups and isinstance(features := values.get("features"), Mapping):
        values = {**values, "features": {**features, "own_groups": dict(feature_groups)}}
    try:
        return read_settings(ModelMetadata, values, where="checkpoint")
    except SettingsError as error:
        raise CheckpointError(f"{path} cannot be used: {shorten(str(error), 300)}") from error


def _check_plain(values: Mapping[str, Any], path: Path) -> None:
    """Refuse values that no metadata holds, before any of it is compared, copied or shown in a message.

    A few hundred bytes of JSON or of a pickle can hold a number of thousands of digits, lists in lists without end, or
    lists that hold one another so often that writing them out takes all memory.
    """
    waiting: list[tuple[Any, int]] = [(values, 0)]
    seen = 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if depth > _MAX_DEPTH or seen > _MAX_VALUES:
            raise CheckpointError(f"{path} cannot be used: its metadata has too many values, or too deep ones.")
        if isinstance(value, Mapping):
            waiting += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, (list, tuple)):
            waiting += [(item, depth + 1) for item in value]
        elif not _is_plain(value):
            raise CheckpointError(
                f"{path} cannot be used: its metadata holds {type(value).__name__} values that are too large, or no "
                "plain ones."
            )


def _is_plain(value: Any) -> bool:
    """Whether `value` is None, true or false, a number of 64 bits, or text of some length that can be written."""
    if isinstance(value, str):
        if len(value) > _MAX_TEXT:
            return False
        return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
    return value is None or isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63)
