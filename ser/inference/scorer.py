"""What a backend is: features in, probabilities, attention weights and summaries out."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


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
