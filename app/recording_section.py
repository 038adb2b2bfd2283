"""One recording on the page: player, prediction, confidences, timeline, picture."""

from pathlib import PurePath

import streamlit as st

from app.charts import Stretch, clock, confidence_chart, stretches_of, timeline_chart
from app.facts import was_in_training
from app.markdown import plain
from app.picture_chart import picture_chart
from app.reading import Reading, Upload
from app.table import column_formats, segments_table
from ser.models.metadata import ModelMetadata

_MIME = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}
_MAX_LISTED = 8


def show_recording(upload: Upload, reading: Reading, metadata: ModelMetadata, *, key: str) -> None:
    """Show everything about one recording; `key` keeps its elements apart from those of another on the page."""
    overall = reading.timeline.overall
    st.markdown(f"**{plain(upload.name)}**")
    st.audio(upload.content, format=_MIME.get(PurePath(upload.name).suffix.lower(), "audio/wav"), alt=upload.name)
    st.subheader(
        " ".join([f"{overall.emotion.capitalize()}, {_percent(overall.confidence)}", *_badges(reading)]), anchor=False
    )
    for remark in _remarks(reading, metadata):
        st.caption(remark)
    for warning in overall.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    st.vega_lite_chart(spec=confidence_chart(overall), alt=_confidences_in_words(reading), key=f"confidence-{key}")
    if len(reading.timeline.segments) > 1:
        _show_timeline(reading, key=key)
    st.vega_lite_chart(
        spec=picture_chart(reading.picture),
        alt=f"Attention, waveform and mel spectrogram of {upload.name}",
        key=f"picture-{key}",
    )
    st.caption(
        "Orange: the attention of the network, the weight of each moment in the prediction; 2 is twice the average. "
        "It shows where the weight lies, not why the prediction is what it is."
    )


def _badges(reading: Reading) -> list[str]:
    badges = [":orange-badge[:material/help: uncertain]"] if reading.timeline.overall.is_uncertain else []
    if reading.truth is None:
        return badges
    if reading.truth not in reading.timeline.overall.class_names:
        return [*badges, f":gray-badge[its name says {reading.truth}, which is no class of the model]"]
    if reading.is_right:
        return [*badges, f":green-badge[:material/check: right: its name says {reading.truth}]"]
    return [*badges, f":red-badge[:material/close: wrong: its name says {reading.truth}]"]


def _remarks(reading: Reading, metadata: ModelMetadata) -> list[str]:
    overall, segments = reading.timeline.overall, reading.timeline.segments
    length = f"{overall.duration:.1f} seconds" if overall.duration < 60 else f"{clock(overall.duration)} minutes"
    remarks = [f"{length}."]
    if len(segments) > 1:
        remarks = [f"{length}, predicted in {len(segments)} overlapping segments; this is their mean."]
    if overall.rejection_threshold > 0:
        remarks.append(f"Below {overall.rejection_threshold:.0%}, the dashed line, a prediction is uncertain.")
    if reading.truth is not None:
        remarks.append(was_in_training(overall.source, metadata))
    return remarks


def _show_timeline(reading: Reading, *, key: str) -> None:
    stretches = stretches_of(reading.timeline)
    words = in_words(stretches)
    st.markdown("**Over time**")
    names = reading.timeline.overall.class_names
    st.vega_lite_chart(spec=timeline_chart(stretches, names), alt=words, key=f"timeline-{key}")
    st.caption(f"{words} Fainter bands are less confident.")
    with st.expander("All segments"):
        table = segments_table(reading)
        st.dataframe(
            table,
            hide_index=True,
            column_config=column_formats(table),
            key=f"segments-{key}",
            alt="One row for each segment",
        )


def in_words(stretches: list[Stretch]) -> str:
    """Return the emotions in their order with times, neighbours of the same one taken together."""
    runs: list[tuple[float, float, str]] = []
    for stretch in stretches:
        if runs and runs[-1][2] == stretch.emotion:
            runs[-1] = (runs[-1][0], stretch.end, stretch.emotion)
        else:
            runs.append((stretch.start, stretch.end, stretch.emotion))
    listed = [f"{clock(start)} to {clock(end)} {emotion}" for start, end, emotion in runs[:_MAX_LISTED]]
    if len(runs) > _MAX_LISTED:
        listed.append(f"and {len(runs) - _MAX_LISTED} more")
    return ", ".join(listed) + "."


def _percent(confidence: float) -> str:
    return "over 99%" if confidence > 0.99 else f"{confidence:.0%}"  # never rounded to 100%


def _confidences_in_words(reading: Reading) -> str:
    overall = reading.timeline.overall
    pairs = zip(overall.class_names, overall.probabilities, strict=True)
    return "Confidences: " + ", ".join(f"{name} {p:.1%}" for name, p in pairs)
