"""What the model is, on the side; and what it can and cannot do, on the page."""

import streamlit as st

from app.facts import KnownScores, corpora_of, find_scores, is_trained_on_synthetic
from app.markdown import plain
from app.model_choice import ModelFile
from ser.inference.pretrained import is_pretrained
from ser.models.metadata import ModelMetadata

_SYNTHETIC = "It was trained on **synthetic voices** only: a demonstration, of no use on real ones."
_LIMITS = """
:material/lock: **Private.** Your sound is sent to this server and nowhere else. It stays in memory while the page is
open, and is not kept.

:material/balance: **Not a lie detector**, and no ground to assess a person. It predicts which of {n_classes} emotions a
voice expresses{learnt}. Other languages, other microphones, noise and loudness change the prediction.
"""


def show_limits(metadata: ModelMetadata) -> None:
    """Show what becomes of the visitor's sound, and what a prediction is no use for."""
    corpora = corpora_of(metadata)
    learnt = f", as it learnt from {_in_words(corpora)}, where most feelings are acted" if corpora else ""
    st.markdown(_LIMITS.format(n_classes=len(metadata.class_names), learnt=plain(learnt)))


def show_facts(model: ModelFile, metadata: ModelMetadata) -> None:
    """Show the facts of the model in use: those that its metadata and the files of its run tell."""
    st.header("The model", anchor=False)
    if is_trained_on_synthetic(metadata):
        st.warning(_SYNTHETIC)
    st.markdown(plain(_summary(metadata)))
    known = find_scores(model, metadata)
    for scores in known:
        _show_scores(scores)
    if not known:
        st.caption("Its scores are not known: there are none beside its file.")
    with st.expander("Details"):
        st.markdown(_details(model, metadata))


def _summary(metadata: ModelMetadata) -> str:
    """Return what the model tells apart, and what it learnt that from where that is known."""
    corpora = corpora_of(metadata)
    learnt = f" It learnt from {_in_words(corpora)}." if corpora else ""
    return f"It knows {len(metadata.class_names)} emotions: {_in_words(list(metadata.class_names))}.{learnt}"


def _show_scores(scores: KnownScores) -> None:
    st.markdown(f"**{scores.part}**, {scores.n_recordings:,} recordings")
    with st.container(horizontal=True):
        st.metric("Accuracy", f"{scores.accuracy:.0%}")
        st.metric("UAR", f"{scores.uar:.0%}", help="Unweighted average recall: the mean recall of the classes.")
    st.caption(plain(scores.protocol))


def _details(model: ModelFile, metadata: ModelMetadata) -> str:
    features = metadata.features
    versions = ", ".join(f"{name} {version}" for name, version in metadata.versions.items())
    facts = {
        "Protocol": metadata.protocol,
        "Architecture": metadata.architecture,
        "Runs on": model.runtime,
        "Features": f"{features.n_features} per frame ({', '.join(features.groups)})",
        "Sound": f"{features.sample_rate:,} Hz, windows of {features.duration:.2f} s ({features.max_length} frames)",
        "Rejection threshold": f"{metadata.rejection_threshold:.0%}" if metadata.rejection_threshold else "none",
        "Written": f"{model.written:%Y-%m-%d %H:%M}",
        "Trained with": versions or "unknown versions",
    }
    if is_pretrained(model.path):
        del facts["Written"]  # it would be the time of the installation
    return "\n".join(f"- **{name}**: {plain(fact)}" for name, fact in facts.items() if fact)


def _in_words(names: list[str]) -> str:
    """Return names as a list in a sentence.

    >>> _in_words(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
