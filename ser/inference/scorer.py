"""What a backend is: features in, probabilities, attention weights and summaries out; and how many go through it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ser.data.storage import StoredFeatures
from ser.features.extract import fit_length
from ser.features.pipeline import ModelInput
from ser.inference.segments import Segment


class Scored(NamedTuple):
    """What a model makes of a batch.

    Attributes
    ----------
    probabilities : float32 [batch, classes].
    attention : float32 [batch, weights].
    summary : float32 [batch, n_summary], which speaker context is made of (`ser.inference.context`); of a model that
        takes none, [batch, 0].
    """

    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    summary: NDArray[np.float32]


class Scorer(Protocol):
    """A model on a backend."""

    def __call__(
        self, features: NDArray[np.float32], lengths: NDArray[np.int64], context: NDArray[np.float32] | None = None
    ) -> Scored:
        """Return what the model makes of a batch.

        Parameters
        ----------
        features : float32 [batch, features, max_length], not normalised.
        lengths : int64 [batch], frames of each recording before the padding.
        context : float32 [batch, 1 + 2 * n_summary], of each recording's speaker: the number of other recordings, the
            mean and the variance of their summaries. None: nothing is known of any. Models that take none leave it out.
        """


@runtime_checkable
class SummaryScorer(Protocol):
    """A backend that may begin at the summaries of recordings, which do not depend on their contexts."""

    def of_summaries(self, summaries: NDArray[np.float32], contexts: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return probabilities float32 [samples, classes]; None where the model cannot begin there.

        Parameters
        ----------
        summaries : float32 [samples, n_summary], those that the model makes of the samples.
        contexts : float32 [samples, 1 + 2 * n_summary].
        """


def score_in_batches(
    scorer: Scorer,
    features: NDArray[np.float32] | StoredFeatures,
    lengths: NDArray[np.int64],
    contexts: NDArray[np.float32] | None,
    *,
    at_once: int,
) -> Iterator[Scored]:
    """Yield what a model makes of samples, `at_once` at a time; parameters as of `Predictor.score`."""
    for start in range(0, len(features), at_once):
        batch = slice(start, start + at_once)
        if contexts is None:
            yield scorer(features[batch], lengths[batch])
        else:
            yield scorer(features[batch], lengths[batch], contexts[batch])


def segments_of(
    scorer: Scorer,
    inputs: Sequence[ModelInput],
    contexts: NDArray[np.float32] | None,
    *,
    max_length: int,
    at_once: int,
) -> list[Segment]:
    """Return utterances with their predictions; `contexts` as of `Predictor.score`, of each utterance."""
    segments = []
    for start in range(0, len(inputs), at_once):
        batch = inputs[start : start + at_once]
        features = np.stack([fit_length(one.features, max_length) for one in batch])
        lengths = np.array([one.length for one in batch], dtype=np.int64)
        of_batch = None if contexts is None else contexts[start : start + at_once]
        (scored,) = score_in_batches(scorer, features, lengths, of_batch, at_once=at_once)
        segments += [
            Segment(
                start=one.start,
                end=one.end,
                speech=one.speech,
                probabilities=probabilities,
                attention=attention,
                offset=one.offset,
                summary=summary,
            )
            for one, probabilities, attention, summary in zip(batch, *scored, strict=True)
        ]
    return segments
