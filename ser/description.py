"""What a model says of itself, whatever it runs on: everything but the weights. Plain values only, no torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ser.corpus.names import EMOTIONS
from ser.errors import CheckpointError, SettingsError
from ser.features import FeatureSettings
from ser.settings import read_settings, require

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Description:
    """Everything but the weights.

    Attributes
    ----------
    architecture, network : a name of `ser.nets.ARCHITECTURES` and its settings.
    class_names : in the order of the outputs.
    features : the settings of sound and features.
    protocol : one sentence on whom the model has heard and what chose this checkpoint.
    neutral_mean : the mean of each row of the features over the training part's neutral recordings, for
        `Predictor.enrol`; empty where there is none.
    held_out : names of the recordings that the run kept from training, to be scored.
    corpus_root : where the corpus lay then; the held-out recordings are looked for there first.
    temperature : what the logits are divided by, so that confidence means what it says (Guo et al. 2017).
    uncertain_below : a prediction less confident than this is called uncertain; 0 calls none so.
    configuration : the run's resolved configuration, as it was; information only.
    versions : of this project and the libraries at training; information only.
    """

    architecture: str
    network: dict[str, Any]
    class_names: tuple[str, ...]
    features: FeatureSettings
    protocol: str
    neutral_mean: tuple[float, ...] = ()
    held_out: tuple[str, ...] = ()
    corpus_root: str = ""
    temperature: float = 1.0
    uncertain_below: float = 0.0
    configuration: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        unknown = [name for name in self.class_names if name not in EMOTIONS]
        require(not unknown, f"class_names holds {unknown}, which are not emotions of RAVDESS.")
        require(len(self.class_names) >= 2, "class_names should hold two names at least.")
        require(len(set(self.class_names)) == len(self.class_names), "class_names holds a name twice.")
        require(0 < self.temperature < math.inf, f"temperature is {self.temperature}, but should be above 0.")
        require(
            len(self.neutral_mean) in (0, self.features.n_features),
            f"neutral_mean has {len(self.neutral_mean)} numbers, the features {self.features.n_features} rows.",
        )
        require(0 <= self.uncertain_below <= 1, f"uncertain_below is {self.uncertain_below}, but should be 0 to 1.")


def read_description(values: Mapping[str, Any], path: Path) -> Description:
    """Return the description that plain values from the file `path` hold.

    Raises
    ------
    CheckpointError : an entry is missing, unknown or bad; it names the file.
    """
    if values.get("format", FORMAT) != FORMAT:
        raise CheckpointError(f"{path} has format {values['format']!r}; this release of ser reads {FORMAT}.")
    try:
        return read_settings(Description, values, where="checkpoint")
    except SettingsError as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from error
