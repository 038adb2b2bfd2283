"""The side panel: what the model is, how well it did, and what it can and cannot do."""

import streamlit as st

from app.facts import KnownScores, find_figures, knows_made_up_voices_only
from app.markdown import plain
from app.model_choice import ModelFile
from ser.models.metadata import ModelMetadata

_SYNTHETIC = "It was trained on **made-up voices** only: a demonstration that knows no real one."
_CAN_AND_CANNOT = """
- It names the emotion that an actor meant, one of {n_classes}. RAVDESS, which such models learn from, has **24 actors,
  two sentences, North American English**.
- Real feeling is less clear than acting. Other languages, other microphones, noise and loudness change the answer.
- It is **not a lie detector**, and nothing to judge a person by.
- Your sound is sent to this server and nowhere else, stays in its memory while the page is open, and is not kept.
"""


def show_facts(model: ModelFile, metadata: ModelMetadata) -> None:
    """Show the facts of the model in use."""
    st.header("The model", anchor=False)
    if knows_made_up_voices_only(metadata):
        st.warning(_SYNTHETIC)
    st.markdown(plain(metadata.protocol))
    figures = find_figures(model)
    for scored in figures:
        _show_figures(scored, same_protocol=scored.protocol == metadata.protocol)
    if not figures:
        st.caption("No figures are known of it: there are none beside its file.")
    with st.expander("Details"):
        st.markdown(_details(model, metadata))
    st.header("What this can and cannot do", anchor=False)
    st.markdown(_CAN_AND_CANNOT.format(n_classes=len(metadata.class_names)))


def _show_figures(figures: KnownScores, *, same_protocol: bool) -> None:
    st.markdown(f"**{figures.part}**, {figures.n_recordings:,} recordings")
    with st.container(horizontal=True):
        st.metric("Accuracy", f"{figures.accuracy:.1%}")
        st.metric("UAR", f"{figures.uar:.1%}", help="Unweighted average recall: the mean recall of the classes.")
    if not same_protocol:
        st.caption(plain(figures.protocol))


def _details(model: ModelFile, metadata: ModelMetadata) -> str:
    features = metadata.features
    versions = ", ".join(f"{name} {version}" for name, version in metadata.versions.items())
    facts = {
        "Classes": ", ".join(metadata.class_names),
        "Architecture": metadata.architecture,
        "Runs on": model.runtime,
        "Features": f"{features.n_features} a frame ({', '.join(features.groups)})",
        "Sound": f"{features.sample_rate:,} Hz, windows of {features.duration:.2f} s ({features.max_length} frames)",
        "Calls uncertain": f"below {metadata.rejection_threshold:.0%}" if metadata.rejection_threshold else "nothing",
        "Written": f"{model.written:%Y-%m-%d %H:%M}",
        "Trained with": versions or "unknown versions",
    }
    return "\n".join(f"- **{name}**: {plain(fact)}" for name, fact in facts.items())
