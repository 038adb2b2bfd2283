"""Speaker context, for who wants it: what a visitor said before in this session tells their voice from their mood.

What is kept of each recording are its summaries, a few numbers that the model computes, in the memory of the session.
"""

from collections.abc import Mapping, MutableMapping

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ser.inference.context import SpeakerContext
from ser.inference.predictor import Predictor
from ser.inference.results import Prediction
from ser.models.metadata import ModelMetadata

Said = dict[str, NDArray[np.float32]]
"""Key of a recording that the visitor spoke -> the summaries of its utterances, float32 [utterances, n_summary]."""

_LABEL = "Use what you said before in this session as context"
_HELP = (
    "Then your voice is compared with itself. Only a few numbers of each recording are kept, in memory alone, until "
    "you close the page."
)
_MOST = 50
"""Recordings that are kept of a visitor; the oldest go first."""


def takes_context(metadata: ModelMetadata) -> bool:
    """Whether the model takes speaker context."""
    return metadata.context > 0


def show_switch(metadata: ModelMetadata, n_before: int) -> bool:
    """Show the switch where the model takes context and `n_before` recordings are there; return whether it is on."""
    if not takes_context(metadata) or not n_before:
        return False
    is_on = st.toggle(_LABEL, key="context", wrap=True)
    st.caption(f"{_HELP} {n_before} so far.")
    return is_on


def remember(said: MutableMapping[str, NDArray[np.float32]], key: str, prediction: Prediction) -> None:
    """Add the summaries of a recording; one without speech has none."""
    if not prediction.segments:
        return
    said[key] = np.stack([segment.summary for segment in prediction.segments])
    for oldest in list(said)[:-_MOST]:
        del said[oldest]


def with_others(predictor: Predictor, said: Mapping[str, NDArray[np.float32]], key: str) -> tuple[Predictor, int]:
    """Return the model with all recordings but `key` as its context, and their number."""
    others = [summaries for other, summaries in said.items() if other != key]
    if not others:
        return predictor, 0
    return predictor.with_speaker_context(SpeakerContext.of(np.concatenate(others))), len(others)


def in_words(n_recordings: int) -> str:
    """Return how many recordings an answer had as its context; "" for none.

    >>> in_words(1), in_words(2)
    ('With 1 earlier recording of yours as context.', 'With 2 earlier recordings of yours as context.')
    """
    if not n_recordings:
        return ""
    return f"With {n_recordings} earlier recording{'s' if n_recordings > 1 else ''} of yours as context."
