"""The outcomes of a visitor's recordings: the sentences, the table, the details of one."""

from collections.abc import Sequence

import streamlit as st

from app.capacity import BusyError, Capacity
from app.markdown import plain
from app.reading import MAX_FILES, Outcome, Reading, Upload, read_all
from app.recording_section import show_recording
from app.table import column_formats, summary_csv, summary_table
from ser.inference.predictor import Predictor


def show_results(
    uploads: Sequence[Upload], predictor: Predictor, *, known: dict[str, Outcome], capacity: Capacity, key: str
) -> None:
    """Read what is new among the uploads and show them all.

    Parameters
    ----------
    known : the outcomes of earlier runs of the page; brought up to date.
    key : keeps these elements apart from others on the page.
    """
    if len(uploads) > MAX_FILES:
        st.warning(f"{len(uploads)} recordings are too many at once: here are the first {MAX_FILES}.")
        uploads = uploads[:MAX_FILES]
    _read_with_progress(uploads, predictor, known=known, capacity=capacity, key=key)
    outcomes = [(upload, known[upload.key]) for upload in uploads if upload.key in known]
    for _, outcome in outcomes:
        if isinstance(outcome, str):
            st.error(plain(outcome), icon=":material/error:")
    readings = [(upload, outcome) for upload, outcome in outcomes if isinstance(outcome, Reading)]
    if not readings:
        return
    by_key = {upload.key: (upload, reading) for upload, reading in readings}
    chosen = readings[0][0].key
    if len(outcomes) > 1:
        _show_table(outcomes, predictor.class_names, key=key)
        chosen = st.selectbox(
            "Details of", list(by_key), format_func=lambda chosen: by_key[chosen][0].name, key=f"chosen-{key}"
        )
    show_recording(*by_key[chosen], predictor.metadata, key=key)


def _read_with_progress(
    uploads: Sequence[Upload], predictor: Predictor, *, known: dict[str, Outcome], capacity: Capacity, key: str
) -> None:
    bar = st.empty()

    def report(done: int, total: int) -> None:
        if total > 1:
            bar.progress(done / total, f"{done} of {total} recordings are done.")

    try:
        with st.spinner("Predicting …"):
            read_all(uploads, predictor, known=known, capacity=capacity, report=report)
    except BusyError:
        st.warning("Many people are using this server right now. Please try again in a minute.")
        st.button("Try again", key=f"again-{key}")
    bar.empty()


def _show_table(outcomes: Sequence[tuple[Upload, Outcome]], class_names: Sequence[str], *, key: str) -> None:
    uploads, results = zip(*outcomes, strict=True)
    table = summary_table(uploads, results, class_names)
    st.dataframe(
        table,
        hide_index=True,
        column_config=column_formats(table),
        placeholder="-",
        key=f"table-{key}",
        alt="One row for each recording",
    )
    st.download_button(
        "Download as CSV",
        summary_csv([result for result in results if isinstance(result, Reading)]),
        file_name="emotions.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"csv-{key}",
    )
