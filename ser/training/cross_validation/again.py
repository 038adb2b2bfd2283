"""What comes first where a finished cross-validation's runs are to judge recordings again, in another way."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser.corpora.manifest import Recording, find_recordings
from ser.corpora.selection import locate_corpus
from ser.errors import CheckpointError, CorpusError, SettingsError
from ser.evaluation.cross_validation.predictions import Predictions, read_model
from ser.training.cross_validation.plan import FoldRun
from ser.training.cross_validation.settings import CrossValidationSettings, Part

TOLERANCE = 1e-4
"""In probability, between a run's own predictions and those of the same sound: rounding stays far below it."""


def check_scored(runs: Sequence[FoldRun], part: Part, folder: Path) -> None:
    """Raise SettingsError if the runs of `folder` have not scored `part`."""
    if part not in runs[0].parts:
        raise SettingsError(
            f"part is {part!r}, but the runs of {folder} have scored {' and '.join(runs[0].parts)} only."
        )


def corpus_of(runs: Sequence[FoldRun]) -> tuple[Path, dict[str, Recording]]:
    """Return where the corpus of the runs lies now, and its recordings by stem."""
    settings = runs[0].settings
    root = locate_corpus(settings.data, data_dir=Path(settings.paths.data_dir))
    return root, {recording.stem: recording for recording in find_recordings(root)}


def predictions_of_fold(runs: Sequence[FoldRun], settings: CrossValidationSettings, part: Part) -> list[Predictions]:
    """Return what each run of one fold said of `part`: of the same recordings in the same order.

    Raises
    ------
    CorpusError : they scored different ones.
    """
    said = [read_model(run, selective_accuracy=settings.selective_accuracy).parts[part] for run in runs]
    if any(one.names != said[0].names for one in said):
        raise CorpusError(f"The runs of {runs[0].fold} scored different {part} recordings.")
    return said


def find_scored(said: Predictions, recordings: Mapping[str, Recording], root: Path) -> list[Recording]:
    """Return the recordings that predictions are of, in their order.

    Raises
    ------
    CorpusError : some are missing.
    """
    stems = [name.stem for name in said.names]
    if missing := [stem for stem in stems if stem not in recordings]:
        raise CorpusError(f"{root} lacks {len(missing)} recordings that the runs have scored, such as {missing[0]}.")
    return [recordings[stem] for stem in stems]


def check_same_answers(probabilities: NDArray[np.float32], said: Predictions, run: FoldRun) -> None:
    """Check that a run judges as it did, given float32 [n, classes] of the recordings as they are.

    Raises
    ------
    CheckpointError : it does not.
    """
    differences = np.abs(probabilities - said.probabilities).max(axis=1)
    worst = int(differences.argmax())
    if not differences[worst] <= TOLERANCE:
        raise CheckpointError(
            f"{run.folder} judges {said.names[worst].stem} otherwise than its predictions.csv says, by "
            f"{differences[worst]:.1e} in probability, though nothing was changed: the corpus, the checkpoint or the "
            "code have changed since; train it again."
        )
