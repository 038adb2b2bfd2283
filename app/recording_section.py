"""One recording on the page: player, prediction, confidences, timeline, picture."""

from pathlib import PurePath

import streamlit as st

from app.charts import clock, confidence_chart, timeline_chart
from app.facts import was_in_training
from app.markdown import plain
from app.picture_chart import picture_chart
from app.reading import Reading, Upload
from app.table import column_formats, segments_table
from ser.inference.results import NO_SPEECH, NOT_ENOUGH_SPEECH, Prediction
from ser.models.metadata import ModelMetadata

_MIME = {
    **dict.fromkeys((".ogg", ".oga", ".opus"), "audio/ogg"),
    **dict.fromkeys((".m4a", ".mp4"), "audio/mp4"),
    **{".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".aac": "audio/aac", ".webm": "audio/webm"},
}
"""Of what browsers play."""
_MAX_LISTED = 8
_WITHOUT_SPEECH = {
    NO_SPEECH: "So there is no emotion to predict. Was the microphone muted, or far away?",
    NOT_ENOUGH_SPEECH: "At least 0.3 seconds in one go are needed to predict an emotion. Speak a whole sentence.",
}
"""By status: what a visitor should know."""


def show_recording(upload: Upload, reading: Reading, metadata: ModelMetadata, *, key: str) -> None:
    """Show everything about one recording; `key` keeps its elements apart from those of another on the page."""
    prediction = reading.prediction
    st.markdown(f"**{plain(upload.name)}**")
    st.audio(upload.content, format=_MIME.get(PurePath(upload.name).suffix.lower(), "audio/wav"), alt=upload.name)
    st.subheader(" ".join([_headline(prediction), *_badges(reading)]), anchor=False)
    for remark in _remarks(reading, metadata):
        st.caption(remark)
    for warning in prediction.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    if prediction.segments:
        st.vega_lite_chart(
            spec=confidence_chart(prediction), alt=_confidences_in_words(reading), key=f"confidence-{key}"
        )
    if len(prediction.segments) > 1:
        _show_timeline(prediction, key=key)
    st.vega_lite_chart(
        spec=picture_chart(reading.picture),
        alt=f"Attention, waveform and mel spectrogram of {upload.name}",
        key=f"picture-{key}",
    )
    st.caption(
        "Orange: the attention of the network, the weight of each moment in the prediction; 2 is twice the average. "
        "It shows where the weight lies, not why the prediction is what it is."
    )


def _headline(prediction: Prediction) -> str:
    if prediction.emotion is None or prediction.confidence is None:
        return prediction.status.capitalize()
    return f"{prediction.emotion.capitalize()}, {_percent(prediction.confidence)}"


def _badges(reading: Reading) -> list[str]:
    badges = [":orange-badge[:material/help: uncertain]"] if reading.prediction.is_uncertain else []
    if reading.truth is None or not reading.prediction.segments:
        return badges
    if reading.truth not in reading.prediction.class_names:
        return [*badges, f":gray-badge[its name says {reading.truth}, which is no class of the model]"]
    if reading.is_right:
        return [*badges, f":green-badge[:material/check: right: its name says {reading.truth}]"]
    return [*badges, f":red-badge[:material/close: wrong: its name says {reading.truth}]"]


def _remarks(reading: Reading, metadata: ModelMetadata) -> list[str]:
    prediction = reading.prediction
    length = (
        f"{prediction.duration:.1f} seconds" if prediction.duration < 60 else f"{clock(prediction.duration)} minutes"
    )
    remarks = [f"{length}, {prediction.speech:.1f} seconds of speech."]
    if not prediction.segments:
        remarks.append(_WITHOUT_SPEECH[prediction.status])
    if len(prediction.segments) > 1:
        remarks.append(f"{len(prediction.segments)} utterances; this is their mean, weighted by speech.")
    if prediction.rejection_threshold > 0 and prediction.segments:
        remarks.append(f"Below {prediction.rejection_threshold:.0%}, the dashed line, a prediction is uncertain.")
    if reading.truth is not None:
        remarks.append(was_in_training(prediction.source, metadata))
    return remarks


def _show_timeline(prediction: Prediction, *, key: str) -> None:
    words = in_words(prediction)
    st.markdown("**Over time**")
    st.vega_lite_chart(spec=timeline_chart(prediction), alt=words, key=f"timeline-{key}")
    st.caption(f"{words} Fainter bands are less confident.")
    with st.expander("All utterances"):
        table = segments_table(prediction)
        st.dataframe(
            table,
            hide_index=True,
            column_config=column_formats(table),
            key=f"segments-{key}",
            alt="One row for each utterance",
        )


def in_words(prediction: Prediction) -> str:
    """Return the emotions in their order with times, neighbours of the same one taken together."""
    runs: list[tuple[float, float, str | None]] = []
    for segment in prediction.segments:
        emotion = prediction.class_of(segment.probabilities)
        if runs and runs[-1][2] == emotion:
            runs[-1] = (runs[-1][0], segment.end, emotion)
        else:
            runs.append((segment.start, segment.end, emotion))
    listed = [f"{clock(start)} to {clock(end)} {emotion}" for start, end, emotion in runs[:_MAX_LISTED]]
    if len(runs) > _MAX_LISTED:
        listed.append(f"and {len(runs) - _MAX_LISTED} more")
    return ", ".join(listed) + "."


def _percent(confidence: float) -> str:
    return "over 99%" if confidence > 0.99 else f"{confidence:.0%}"  # never rounded to 100%


def _confidences_in_words(reading: Reading) -> str:
    prediction = reading.prediction
    by_class = prediction.to_dict()["probabilities"]
    return "Confidences: " + ", ".join(f"{name} {p:.1%}" for name, p in by_class.items())
