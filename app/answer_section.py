"""One recording on the page: its answers, its player, and the technical pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import streamlit as st

from app.answer_html import answer_html
from app.components import show_player_line
from app.facts import KnownScores, was_in_training
from app.markdown import plain
from app.picture_chart import picture_chart
from app.player import parts_in_words, player_data
from app.reading import Reading, Upload
from app.table import column_formats, segments_table
from app.words import headline, length_in_words
from ser.models.metadata import ModelMetadata

_MIME = {
    **dict.fromkeys((".ogg", ".oga", ".opus"), "audio/ogg"),
    **dict.fromkeys((".m4a", ".mp4"), "audio/mp4"),
    **{".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".aac": "audio/aac", ".webm": "audio/webm"},
}
"""Of what browsers play."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one model says of a recording.

    Attributes
    ----------
    reading : the prediction and its picture.
    metadata, scores : of the model.
    title : the name of the model where several answer; else "".
    notes : what must be said beside it.
    """

    reading: Reading
    metadata: ModelMetadata
    scores: Sequence[KnownScores]
    title: str = ""
    notes: tuple[str, ...] = ()


def show_answers(upload: Upload, answers: Sequence[Answer], *, key: str) -> None:
    """Show everything about one recording, the answers side by side.

    Parameters
    ----------
    answers : of one model or of several.
    key : keeps these elements apart from those of another recording.
    """
    for column, answer in zip(st.columns(len(answers), border=True), answers, strict=True):
        with column:
            prediction = answer.reading.prediction
            notes = [*answer.notes, *remarks(answer)]
            st.html(answer_html(prediction, answer.scores, title=answer.title or upload.name, notes=notes))
    for warning in answers[0].reading.prediction.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    with st.container(key=f"player-{key}"):
        suffix = upload.suffix or PurePath(upload.name).suffix.lower()
        st.audio(upload.content, format=_MIME.get(suffix, "audio/wav"), alt=upload.name)
        for place, answer in enumerate(answers):
            announced = None if place else headline(answer.reading.prediction)
            _show_line(upload, answer, announced=announced, key=f"{key}-{place}")
    for place, answer in enumerate(answers):
        _show_pictures(upload, answer, key=f"{key}-{place}")


def remarks(answer: Answer) -> list[str]:
    """Return what is worth saying about the recording, a sentence or two each."""
    reading, prediction = answer.reading, answer.reading.prediction
    lines = [f"{length_in_words(prediction.duration)}, {prediction.speech:.1f} seconds of speech."]
    if reading.truth is None or not prediction.segments:
        return lines
    if reading.truth not in prediction.class_names:
        return [*lines, f"Its name says {reading.truth}, which is no class of the model."]
    right = "Right" if reading.is_right else "Wrong"
    trained = was_in_training(prediction.source, answer.metadata)
    return [*lines, f"{right}: its name says {reading.truth}. {trained}"]


def _show_line(upload: Upload, answer: Answer, *, announced: str | None, key: str) -> None:
    """Show the line of an answer; `announced` is read out by screen readers where it is new."""
    prediction = answer.reading.prediction
    if answer.title and prediction.segments:
        st.caption(plain(answer.title))
    told = {} if announced is None else {"key": upload.key, "said": f"{upload.name}: {announced}"}
    show_player_line({**player_data(prediction, answer.reading.picture), **told}, key=f"line-{key}")
    if words := parts_in_words(prediction):
        st.caption(words)


def _show_pictures(upload: Upload, answer: Answer, *, key: str) -> None:
    """Show the pictures once somebody opens them: they are far larger than all else on the page."""
    label = "Technical pictures" + (f": {plain(answer.title)}" if answer.title else "")
    folded = st.expander(label, key=f"pictures-{key}", on_change="rerun")
    if not folded.open:
        return
    prediction = answer.reading.prediction
    with folded:
        alt = f"Attention, waveform and mel spectrogram of {upload.name}"
        st.vega_lite_chart(spec=picture_chart(answer.reading.picture), alt=alt, key=f"picture-{key}")
        st.caption(
            "Orange: the attention of the network, the weight of each moment in the prediction; 2 is twice the "
            "average. It shows where the weight lies, not why the prediction is what it is."
        )
        if len(prediction.segments) > 1:
            st.markdown("**Every utterance, not smoothed**")
            table = segments_table(prediction)
            formats = column_formats(table)
            st.dataframe(table, hide_index=True, column_config=formats, alt="One row for each utterance")
