"""Speaker context, as those who use a model make it: of other, unlabelled recordings of the same person.

A context is the number of recordings, and the mean and the variance of their summaries, which the model computes
(`ser.models.context`). It grows by a recording at a time and shrinks by one, in any order; the sounds are not kept.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser.errors import SettingsError

if TYPE_CHECKING:
    from ser.features.pipeline import LoadedRecording, ModelInput
    from ser.inference.results import Prediction

NO_CONTEXT = "The model takes no speaker context; load one that does, such as ser-voices."


@dataclass(frozen=True, eq=False)
class SpeakerContext:
    """What is known of a speaker. Each utterance of a long recording counts as a recording; one without speech as none.

    Attributes
    ----------
    n_recordings : how many, 0 or more.
    total, squares : float64 [n_summary], the sums of their summaries and of the squares of these.

    Examples
    --------
    >>> context = SpeakerContext.of([[1.0, 5.0], [3.0, 5.0]])
    >>> context.row()
    array([2., 2., 5., 1., 0.], dtype=float32)
    >>> context.without([1.0, 5.0]).row()
    array([1., 3., 5., 0., 0.], dtype=float32)
    """

    n_recordings: int
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def none(cls, n_summary: int) -> "SpeakerContext":
        """Return the context of a speaker of whom nothing is known; `n_summary` is the model's `metadata.context`."""
        return cls(0, np.zeros(n_summary), np.zeros(n_summary))

    @classmethod
    def of(cls, summaries: ArrayLike) -> "SpeakerContext":
        """Return the context of recordings with these summaries, float [recordings, n_summary], or [n_summary]."""
        rows = np.atleast_2d(np.asarray(summaries, dtype=np.float64))
        return cls(len(rows), rows.sum(axis=0), np.square(rows).sum(axis=0))

    @classmethod
    def of_predictions(cls, predictions: "Iterable[Prediction]") -> "SpeakerContext":
        """Return the context of the recordings of predictions; one that is empty where none has speech."""
        summaries = [segment.summary for prediction in predictions for segment in prediction.segments]
        return cls.of(summaries) if summaries else cls.none(0)

    def __add__(self, other: "SpeakerContext") -> "SpeakerContext":
        """Return the context of the recordings of both."""
        if not (self.n_recordings and other.n_recordings):
            return other if other.n_recordings else self
        n = self.n_recordings + other.n_recordings
        return SpeakerContext(n, self.total + other.total, self.squares + other.squares)

    def with_recordings(self, summaries: ArrayLike) -> "SpeakerContext":
        """Return the context with further recordings, whose summaries are as of `of`."""
        return self + SpeakerContext.of(summaries)

    def without(self, summaries: ArrayLike) -> "SpeakerContext":
        """Return the context without recordings that are in it, whose summaries are as of `of`.

        Raises
        ------
        ValueError : it has not so many.
        """
        other = SpeakerContext.of(summaries)
        n = self.n_recordings - other.n_recordings
        if n < 0:
            raise ValueError(f"{other.n_recordings} recordings cannot be taken out of {self.n_recordings}.")
        if n == 0:  # without what rounding would leave
            return SpeakerContext.none(len(self.total))
        return SpeakerContext(n, self.total - other.total, self.squares - other.squares)

    def row(self) -> NDArray[np.float32]:
        """Return float32 [1 + 2 * n_summary], as a model takes it: the number, the mean and the variance.

        The variance is that of the population, and 0 of fewer than two recordings.
        """
        mean = self.total / max(self.n_recordings, 1)
        variance = np.zeros_like(mean)
        if self.n_recordings > 1:
            variance = np.maximum(self.squares / self.n_recordings - np.square(mean), 0)
        return np.concatenate([[self.n_recordings], mean, variance]).astype(np.float32)


class SpeakerRecordings:
    """Recordings of one speaker, which can tell the context of one among them: all others.

    Recordings are known by their features, so that two files of the same sound are one recording: neither is in the
    context of the other.

    Attributes
    ----------
    context : of all of them.
    """

    def __init__(self, n_summary: int) -> None:
        self.context = SpeakerContext.none(n_summary)
        self._summaries: dict[bytes, list[NDArray[np.float32]]] = defaultdict(list)

    def add(self, recording: "LoadedRecording", prediction: "Prediction") -> None:
        """Add a recording by its features and its prediction."""
        self.context += SpeakerContext.of_predictions([prediction])
        for utterance, segment in zip(recording.utterances, prediction.segments, strict=True):
            self._summaries[_key(utterance)].append(segment.summary)

    def context_of(self, recording: "LoadedRecording") -> SpeakerContext:
        """Return the context of a recording: of all that were added but itself."""
        keys = {_key(utterance) for utterance in recording.utterances} if self._summaries else ()
        own = [summary for key in keys if key in self._summaries for summary in self._summaries[key]]
        return self.context.without(own) if own else self.context


def context_rows(
    contexts: Sequence[SpeakerContext], utterances: Sequence[int], summaries: Sequence[NDArray[np.float32]] | None
) -> NDArray[np.float32] | None:
    """Return the rows of all utterances of recordings, float32 [utterances, 1 + 2 * n_summary].

    Parameters
    ----------
    contexts : of each recording.
    utterances : how many each has.
    summaries : float32 [n_summary] of each utterance, where one speaker says all of a recording: those before an
        utterance are in its context. None: they are not.

    Returns
    -------
    None where nothing is known of any speaker.
    """
    rows, place = list[NDArray[np.float32]](), 0
    for context, n_utterances in zip(contexts, utterances, strict=True):
        known = context
        for number in range(n_utterances):
            if summaries is None:
                rows.append(rows[-1] if number else known.row())
            else:
                rows.append(known.row())
                known = known.with_recordings(summaries[place])
                place += 1
    return np.stack(rows) if any(row[0] for row in rows) else None


def check_context(context: SpeakerContext, n_summary: int) -> SpeakerContext:
    """Return a context as a model takes it whose summaries have `n_summary` values.

    Raises
    ------
    SettingsError : the model takes none, or the context is of another model.
    """
    if not n_summary:
        raise SettingsError(NO_CONTEXT)
    if not context.n_recordings:
        return SpeakerContext.none(n_summary)
    if len(context.total) != n_summary:
        raise SettingsError(
            f"context has summaries of {len(context.total)} values, but those of this model have {n_summary}; make it "
            "of predictions of this model."
        )
    return context


def _key(utterance: "ModelInput") -> bytes:
    return hashlib.blake2b(utterance.features.tobytes(), digest_size=16).digest()
