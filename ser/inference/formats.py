"""Predictions as text: a table for people, JSON and CSV for programs."""

import csv
import io
import json
from collections.abc import Mapping, Sequence

from ser.errors import printable
from ser.inference.results import Prediction

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet program computes."""


def as_table(predictions: Sequence[Prediction]) -> str:
    """Return an aligned table; "" where there is no prediction.

    The columns are file, emotion, uncertain, status, context (the number of other recordings of the speaker, where the
    model takes speaker context), and the probability of every class in percent. Below stand the timelines of more than
    one utterance, and the warnings.
    """
    if not predictions:
        return ""
    names = predictions[0].class_names
    has_context = _has_context(predictions)
    rows = [["file", "emotion", "uncertain", "status", *(["context"] if has_context else []), *names]]
    for p in predictions:
        values = ["-"] * len(names) if p.probabilities is None else [f"{value:.1%}" for value in p.probabilities]
        context = [str(p.context_size)] if has_context else []
        rows.append([printable(p.source), p.emotion or "-", _yes_or_no(p.is_uncertain), p.status, *context, *values])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    n_left = len(rows[0]) - len(names)
    lines = [
        "  ".join(
            [cell.ljust(width) for cell, width in zip(row[:n_left], widths, strict=False)]
            + [cell.rjust(width) for cell, width in zip(row[n_left:], widths[n_left:], strict=True)]
        )
        for row in rows
    ]
    lines += [f"timeline: {printable(p.source)}: {timeline(p)}" for p in predictions if len(p.segments) > 1]
    lines += [f"note: {printable(p.source)}: {printable(note)}" for p in predictions for note in p.warnings]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def as_json(predictions: Sequence[Prediction]) -> str:
    """Return a JSON list of `Prediction.to_dict`."""
    return json.dumps([prediction.to_dict() for prediction in predictions], indent=2, ensure_ascii=False) + "\n"


def as_csv(
    predictions: Sequence[Prediction],
    class_names: Sequence[str],
    *,
    further: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return CSV: the columns of `csv_header` and those of `further`, by name, with a cell a prediction each."""
    further = further or {}
    lines = [csv_line([*csv_header(class_names, context=_has_context(predictions)), *further])]
    lines += [
        csv_line([*csv_cells(prediction), *cells])
        for prediction, *cells in zip(predictions, *further.values(), strict=True)
    ]
    return "".join(lines)


def csv_header(class_names: Sequence[str], *, context: bool = False) -> list[str]:
    """Return the names of the columns of `csv_cells`; `context`: whether the model takes speaker context."""
    before = ["file", "emotion", "confidence", "uncertain", "status", "speech", "duration"]
    before += ["context_size"] if context else []
    return [*before, *(f"p_{name}" for name in class_names), "timeline", "warnings"]


def csv_cells(p: Prediction) -> list[str]:
    """Return the cells of a prediction; empty where there is no emotion. Times are in seconds."""
    probabilities = [""] * len(p.class_names) if p.probabilities is None else [f"{x:.9g}" for x in p.probabilities]
    confidence = "" if p.confidence is None else f"{p.confidence:.9g}"
    answer = [p.emotion or "", confidence, _yes_or_no(p.is_uncertain), p.status, f"{p.speech:.3f}", f"{p.duration:.3f}"]
    answer += [] if p.context_size is None else [str(p.context_size)]
    return [p.source, *answer, *probabilities, timeline(p), " ".join(p.warnings)]


def csv_line(cells: Sequence[str]) -> str:
    """Return cells as one line of CSV. What a spreadsheet program would compute begins with an apostrophe."""
    text = io.StringIO()
    guarded = [("'" if cell.startswith(_FORMULA) else "") + printable(cell) for cell in cells]
    csv.writer(text, lineterminator="\n").writerow(guarded)
    return text.getvalue()


def timeline(p: Prediction) -> str:
    """Return the utterances with their times in seconds, the emotion and its probability, in one line.

    Such as `0.0-2.1 sad 0.83; 2.6-4.0 calm 0.44`.
    """
    utterances = [
        f"{one.start:.1f}-{one.end:.1f} {p.class_of(one.probabilities)} {one.probabilities.max():.2f}"
        for one in p.segments
    ]
    return "; ".join(utterances)


def _has_context(predictions: Sequence[Prediction]) -> bool:
    return any(p.context_size is not None for p in predictions)


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
