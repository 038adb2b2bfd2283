"""Many recordings as one table, on the page and as CSV."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.reading import Outcome, Reading, Upload
from ser.inference.formats import as_csv
from ser.inference.results import Prediction


def summary_table(uploads: Sequence[Upload], outcomes: Sequence[Outcome], class_names: Sequence[str]) -> pd.DataFrame:
    """Return a row for each upload: file, emotion, confidence, uncertain, duration, true, p_<class>, note.

    Confidence and `p_<class>` are in [0, 1], duration is in seconds. `true` is there only if at least one file name
    holds its class. What could not be read has only the file and a note.
    """
    rows = [_row(upload, outcome) for upload, outcome in zip(uploads, outcomes, strict=True)]
    columns = ["file", "emotion", "confidence", "uncertain", "duration"]
    if any("true" in row for row in rows):
        columns.append("true")
    return pd.DataFrame(rows, columns=[*columns, *(f"p_{name}" for name in class_names), "note"])


def _row(upload: Upload, outcome: Outcome) -> dict[str, object]:
    if not isinstance(outcome, Reading):
        return {"file": upload.name, "note": outcome}
    prediction = outcome.prediction
    row: dict[str, object] = {
        "file": upload.name,
        "emotion": prediction.emotion or prediction.status,
        "confidence": prediction.confidence,
        "uncertain": "yes" if prediction.is_uncertain else "no",
        "duration": prediction.duration,
        "note": " ".join(prediction.warnings),
    }
    row |= {f"p_{name}": p for name, p in prediction.top(len(prediction.class_names))}
    if outcome.truth is not None:
        row["true"] = outcome.truth
    return row


def summary_csv(readings: Sequence[Reading]) -> str:
    """Return the readings as `ser predict --csv` writes them, and a column more: true.

    Parameters
    ----------
    readings : at least one.
    """
    predictions = [reading.prediction for reading in readings]
    true = [reading.truth or "" for reading in readings]
    text = as_csv(predictions, predictions[0].class_names, further={"true": true})
    return "\ufeff" + text  # the byte order mark, by which Excel knows UTF-8


def segments_table(prediction: Prediction) -> pd.DataFrame:
    """Return a row for each utterance: start and end in seconds, emotion, confidence and p_<class>."""
    names = prediction.class_names
    rows = [
        {
            "start": segment.start,
            "end": segment.end,
            "emotion": prediction.class_of(segment.probabilities),
            "confidence": float(segment.probabilities.max()),
            **{f"p_{name}": float(p) for name, p in zip(names, segment.probabilities, strict=True)},
        }
        for segment in prediction.segments
    ]
    return pd.DataFrame(rows, columns=["start", "end", "emotion", "confidence", *(f"p_{name}" for name in names)])


def column_formats(table: pd.DataFrame) -> dict[str, object]:
    """Return how `st.dataframe` shows the columns: probabilities in percent, times in seconds."""
    percent = st.column_config.NumberColumn(format="percent")
    formats = {name: percent for name in table.columns if name.startswith("p_") or name == "confidence"}
    times = [name for name in table.columns if name in ("duration", "start", "end")]
    return formats | {name: st.column_config.NumberColumn(f"{name} (s)", format="%.1f") for name in times}
