"""The predictions of recordings in several contexts, and their file."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser.audio.io import Source
from ser.corpora.manifest import Recording
from ser.data.files import replace_when_complete
from ser.data.storage import StoredFeatures
from ser.errors import CorpusError
from ser.evaluation.context.draws import ALL, Context, Draws, Size
from ser.evaluation.predictions import class_names_of, with_probabilities
from ser.inference.batches import in_batches, load_all
from ser.inference.predictor import Predictor
from ser.inference.results import Prediction
from ser.inference.scorer import SummaryScorer

FILE = "context_predictions.npz"
_AT_ONCE = 64
_ALL = -1  # of the sizes in the file


@dataclass(frozen=True, kw_only=True, eq=False)
class ContextPredictions:
    """What a model makes of recordings in each of several contexts.

    Attributes
    ----------
    files : the ids of the recordings.
    contexts : the first one is none.
    sizes : int64 [contexts, recordings], how many recordings each context has.
    probabilities : float32 [contexts, recordings, classes].
    """

    files: tuple[str, ...]
    contexts: tuple[Context, ...]
    sizes: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def tables(self, predictions: pd.DataFrame) -> dict[Context, pd.DataFrame]:
        """Return a prediction table for each context, with the further column context_size.

        Recordings whose speaker is not known are left out: none of them has a context.

        Parameters
        ----------
        predictions : those of the recordings without context, in any order (`prediction_table`).

        Raises
        ------
        CorpusError : these are of other recordings or classes.
        """
        order = pd.Index(self.files).get_indexer(predictions["file"])
        n_classes = len(class_names_of(predictions))
        if (order < 0).any() or len(order) != len(self.files) or self.probabilities.shape[2] != n_classes:
            raise CorpusError(
                f"{FILE} and predictions.csv are of other recordings or classes; delete both, score again."
            )
        known = (predictions["speaker"] != "").to_numpy()
        found = {}
        for context, sizes, probabilities in zip(self.contexts, self.sizes, self.probabilities, strict=True):
            table = with_probabilities(predictions, probabilities[order].astype(np.float64))
            found[context] = table.assign(context_size=sizes[order])[known]
        return found


def predict_features(
    predictor: Predictor,
    features: NDArray[np.float32] | StoredFeatures,
    lengths: NDArray[np.int64],
    recordings: Sequence[Recording],
    contexts: Sequence[Context],
) -> ContextPredictions:
    """Predict recordings whose features are at hand, float32 [recordings, features, max_length], in each context.

    Where the model can begin at the summaries, these are computed once, and contexts cost next to nothing.
    """
    summaries = predictor.summarise(features, lengths)
    draws = Draws(recordings, list(summaries))
    sizes, probabilities = list[list[int]](), list[NDArray[np.float32]]()
    for context in contexts:
        drawn = [draws.context_of(place, context) for place in range(len(recordings))]
        sizes.append([one.n_recordings for one in drawn])
        rows = np.stack([one.row() for one in drawn])
        scorer = predictor.scorer
        scored = scorer.of_summaries(summaries, rows) if isinstance(scorer, SummaryScorer) else None
        probabilities.append(predictor.score(features, lengths, contexts=rows) if scored is None else scored)
    return ContextPredictions(
        files=tuple(one.id for one in recordings),
        contexts=tuple(contexts),
        sizes=np.array(sizes, dtype=np.int64),
        probabilities=np.array(probabilities, dtype=np.float32),
    )


def predict_sounds(
    predictor: Predictor,
    sources: Iterator[Source],
    recordings: Sequence[Recording],
    predictions: Sequence[Prediction],
    contexts: Sequence[Context],
    *,
    workers: int,
) -> ContextPredictions:
    """Predict recordings once more, in each context: their sounds are read once, and only contexts differ.

    Parameters
    ----------
    sources : the sound of each recording.
    predictions : of each, without context; they have speech.
    """
    draws = Draws(recordings, [np.stack([one.summary for one in each.segments]) for each in predictions])
    sizes: list[list[int]] = [[] for _ in contexts]
    probabilities: list[list[NDArray[np.float32]]] = [[] for _ in contexts]
    places = count()
    for batch in in_batches(load_all(sources, predictor.metadata.features, workers=workers), size=_AT_ONCE):
        for name, outcome in batch:
            if isinstance(outcome, str):
                raise CorpusError(f"{name} could be read before, and now it cannot be: {outcome}")
        of_batch = [next(places) for _ in batch]
        for number, context in enumerate(contexts):
            drawn = [draws.context_of(place, context) for place in of_batch]
            sizes[number] += [one.n_recordings for one in drawn]
            for result in predictor.predict_batch(batch, contexts=drawn):
                assert isinstance(result, Prediction)
                assert result.probabilities is not None  # there was speech in the same sound before
                probabilities[number].append(result.probabilities)
    return ContextPredictions(
        files=tuple(one.id for one in recordings),
        contexts=tuple(contexts),
        sizes=np.array(sizes, dtype=np.int64),
        probabilities=np.array(probabilities, dtype=np.float32),
    )


def write_context_predictions(path: Path, found: ContextPredictions) -> None:
    """Write an .npz file, whole or not at all; `read_context_predictions` reads it.

    Raises
    ------
    OSError : it cannot be written.
    """
    sizes = [_ALL if context.size == ALL else context.size for context in found.contexts]
    with replace_when_complete(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            files=np.array(found.files),
            kind=np.array([context.kind for context in found.contexts]),
            size=np.array(sizes, dtype=np.int64),
            context_size=found.sizes,
            probabilities=found.probabilities,
        )


def read_context_predictions(path: Path) -> ContextPredictions:
    """Read the file; raises CorpusError where it is something else."""
    try:
        with np.load(path, allow_pickle=False) as content:
            sizes: list[Size] = [ALL if size == _ALL else int(size) for size in content["size"]]
            return ContextPredictions(
                files=tuple(map(str, content["files"])),
                contexts=tuple(map(Context, map(str, content["kind"]), sizes)),
                sizes=content["context_size"],
                probabilities=content["probabilities"],
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CorpusError(f"{path} is damaged, or no predictions in context; delete it and score again.") from error
