"""Many recordings as one table, on the page and as CSV; the utterances of one."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.colours import colour_of
from app.markdown import plain
from app.reading import Outcome, Reading, Upload
from app.words import clock, percent, sounds
from ser.inference.formats import as_csv
from ser.inference.results import NO_SPEECH, Prediction


def table_data(outcomes: Sequence[tuple[Upload, Outcome]], *, opened: int, continued: bool) -> dict[str, Any]:
    """Return what `app/assets/table.js` shows: a row for each upload.

    Parameters
    ----------
    opened : the place of the row that is open; -1 for none.
    continued : the table goes on from one above: its header is for screen readers alone.
    """
    rows = [_row(upload, outcome) | {"open": place == opened} for place, (upload, outcome) in enumerate(outcomes)]
    caption = "Recordings, continued" if continued else "Recordings: a row opens to its answer"
    return {"caption": caption, "continued": continued, "rows": rows}


def _row(upload: Upload, outcome: Outcome) -> dict[str, str]:
    if not isinstance(outcome, Reading):
        return {"key": upload.key, "name": upload.name, "note": "could not be read"}
    prediction = outcome.prediction
    row = {"key": upload.key, "name": upload.name, "length": clock(prediction.duration), "emotion": prediction.status}
    if prediction.emotion is None or prediction.confidence is None:
        return row
    doubt = "perhaps " if prediction.is_uncertain else ""
    return row | {
        "emotion": doubt + sounds(prediction.emotion),
        "percent": percent(prediction.confidence),
        "colour": colour_of(prediction.emotion, prediction.class_names),
    }


def counts_in_words(readings: Sequence[Reading]) -> str:
    """Return how many recordings sound like what, the most frequent first, as Markdown."""
    counts = Counter(sounds(one.prediction.emotion) if one.prediction.emotion else NO_SPEECH for one in readings)
    listed = ", ".join(f"{count} {plain(word)}" for word, count in counts.most_common())
    return f"**{len(readings)} recordings:** {listed}"


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
    """Return a row for each utterance: start and end in seconds, emotion; confidence and p_<class> in percent."""
    names = prediction.class_names
    rows = [
        {
            "start": segment.start,
            "end": segment.end,
            "emotion": prediction.class_of(segment.probabilities),
            "confidence": 100 * float(segment.probabilities.max()),
            **{f"p_{name}": 100 * float(p) for name, p in zip(names, segment.probabilities, strict=True)},
        }
        for segment in prediction.segments
    ]
    return pd.DataFrame(rows, columns=["start", "end", "emotion", "confidence", *(f"p_{name}" for name in names)])


def column_formats(table: pd.DataFrame) -> dict[str, object]:
    """Return how `st.dataframe` shows the columns of `segments_table`: whole percents, and tenths of seconds."""
    whole = st.column_config.NumberColumn(format="%.0f%%")
    formats = {name: whole for name in table.columns if name.startswith("p_") or name == "confidence"}
    times = [name for name in table.columns if name in ("start", "end")]
    return formats | {name: st.column_config.NumberColumn(f"{name} (s)", format="%.1f") for name in times}
