"""The outcomes of a visitor's recordings: the sentences, the table whose rows open, the answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.answer_section import Answer, show_answers
from app.capacity import BusyError, Capacity
from app.components import show_table_rows
from app.context import Said, in_words, remember
from app.facts import KnownScores
from app.inputs import Given
from app.markdown import plain
from app.reading import MAX_FILES, Outcome, Reading, Upload, read_all
from app.table import counts_in_words, summary_csv, table_data
from ser.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that answers.

    Attributes
    ----------
    predictor : the model.
    scores : what is known of how often it is right.
    known : the outcomes of earlier runs of the page, by key of an upload; brought up to date.
    title : its name where several models answer; else "".
    said : what the visitor spoke in this session, to be added to; None where it is not to be kept.
    n_context : recordings that the predictor has as its context.
    """

    predictor: Predictor
    scores: Sequence[KnownScores]
    known: dict[str, Outcome]
    title: str = ""
    said: Said | None = None
    n_context: int = 0


def show_results(given: Given, models: Sequence[Model], *, capacity: Capacity) -> None:
    """Read what is new of what was given, and show it all.

    Parameters
    ----------
    models : the one that answers all, and then any that answer the opened recording beside it.
    """
    uploads, first = given.uploads, models[0]
    if len(uploads) > MAX_FILES:
        st.warning(f"{len(uploads)} recordings are too many at once: here are the first {MAX_FILES}.")
        uploads = uploads[:MAX_FILES]
    _read_with_progress(uploads, first, capacity=capacity)
    outcomes = [(upload, first.known[upload.key]) for upload in uploads if upload.key in first.known]
    for _, outcome in outcomes:
        if isinstance(outcome, str):
            st.error(plain(outcome), icon=":material/error:")
    readable = [upload for upload, outcome in outcomes if isinstance(outcome, Reading)]
    if not readable:
        return
    if len(outcomes) == 1:
        _show_opened(readable[0], given, models, capacity=capacity)
        return
    readings = [outcome for _, outcome in outcomes if isinstance(outcome, Reading)]
    st.markdown(counts_in_words(readings))
    place = _opened(readable, outcomes)
    _show_rows(outcomes[: place + 1], opened=place, continued=False)
    if place >= 0:
        _show_opened(outcomes[place][0], given, models, capacity=capacity)
    if outcomes[place + 1 :]:
        _show_rows(outcomes[place + 1 :], opened=-1, continued=place >= 0)
    _offer_csv(readings)


def _opened(readable: Sequence[Upload], outcomes: Sequence[tuple[Upload, Outcome]]) -> int:
    """Return the place of the row that is open, -1 where none is: the first that can be read, until one is clicked."""
    keys = [upload.key for upload, _ in outcomes]
    opened = st.session_state.get("opened", readable[0].key)
    if opened not in keys:
        opened = None if opened is None else readable[0].key
    return -1 if opened is None else keys.index(opened)


def _show_rows(outcomes: Sequence[tuple[Upload, Outcome]], *, opened: int, continued: bool) -> None:
    if not outcomes:
        return
    key = "rows-below" if continued else "rows"

    def open_row() -> None:
        clicked = st.session_state[key].opened
        is_open = opened >= 0 and outcomes[opened][0].key == clicked
        st.session_state["opened"] = None if is_open else clicked

    show_table_rows(table_data(outcomes, opened=opened, continued=continued), key=key, on_opened=open_row)


def _show_opened(upload: Upload, given: Given, models: Sequence[Model], *, capacity: Capacity) -> None:
    answers = []
    for model in models:
        if upload.key not in model.known:
            _read_with_progress([upload], model, capacity=capacity)
        outcome = model.known.get(upload.key)
        if isinstance(outcome, Reading):
            if model.said is not None:
                remember(model.said, upload.key, outcome.prediction)
            notes = tuple(filter(None, [given.note, in_words(model.n_context)]))
            metadata = model.predictor.metadata
            answers.append(
                Answer(reading=outcome, metadata=metadata, scores=model.scores, title=model.title, notes=notes)
            )
        elif outcome is not None:
            st.error(plain(outcome), icon=":material/error:")
    if answers:
        show_answers(upload, answers, key=given.source)


def _read_with_progress(uploads: Sequence[Upload], model: Model, *, capacity: Capacity) -> None:
    bar = st.empty()

    def report(done: int, total: int) -> None:
        if total > 1:
            bar.progress(done / total, f"{done} of {total} recordings are done.")

    try:
        with st.spinner("Predicting …", show_time=True):
            read_all(uploads, model.predictor, known=model.known, capacity=capacity, report=report)
    except BusyError:
        st.warning("Many people are using this server right now. Please try again in a minute.")
        st.button("Try again", key="again")
    bar.empty()


def _offer_csv(readings: Sequence[Reading]) -> None:
    st.download_button(
        "Download as CSV",
        summary_csv(readings),
        file_name="emotions.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="csv",
    )
