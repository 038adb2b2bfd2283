"""From any number of recordings to batches of features, in order and in bounded memory."""

from collections.abc import Iterable, Iterator
from functools import partial

from ser.audio.io import Source, in_memory, name_of
from ser.data.workers import map_in_workers
from ser.features.compiled import MANY_RECORDINGS, load_compiled
from ser.features.pipeline import LoadedRecording, try_load_features
from ser.features.settings import FeatureSettings

Outcome = tuple[str, LoadedRecording | str]
"""The name of a recording, and its features, or why it cannot be read."""


def load_all(sources: Iterable[Source], settings: FeatureSettings, *, workers: int) -> Iterator[Outcome]:
    """Yield the outcome of each source, in order; they are taken a few chunks ahead.

    Parameters
    ----------
    workers : processes that decode and extract features; 0: one a core.

    Raises
    ------
    SerError : a worker died.
    """
    numbered = ((number, name_of(source), in_memory(source)) for number, source in enumerate(sources))
    # Ten minutes of sound are some 10 to 20 MB of features, so that few chunks wait to be taken.
    return map_in_workers(partial(_load, settings=settings), numbered, workers=workers, ahead=1)


def _load(task: tuple[int, str, Source], *, settings: FeatureSettings) -> Outcome:
    """Return what `try_load_features` does of a source, whose number among all is given."""
    number, name, source = task
    if number >= MANY_RECORDINGS:  # how many will follow is not known: as many again, let us say
        load_compiled()
    return try_load_features((name, source), settings=settings)


def in_batches(outcomes: Iterable[Outcome], *, size: int) -> Iterator[list[Outcome]]:
    """Yield what there is by `size`, sooner where long recordings have that many utterances: so memory is bounded."""
    batch: list[Outcome] = []
    n_utterances = 0
    for name, outcome in outcomes:
        batch.append((name, outcome))
        n_utterances += 0 if isinstance(outcome, str) else len(outcome.utterances)
        if max(len(batch), n_utterances) >= size:
            yield batch
            batch, n_utterances = [], 0
    if batch:
        yield batch
