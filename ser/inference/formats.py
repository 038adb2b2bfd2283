"""Predictions as text: a table for people, JSON and CSV for programs."""

import csv
import io
import json
from collections.abc import Sequence

from ser.inference.results import Prediction


def as_table(predictions: Sequence[Prediction]) -> str:
    """Return an aligned table: file, emotion, the probability of every class in percent, warnings."""
    rows = [["file", "emotion", *predictions[0].class_names]]
    rows += [
        [p.source, p.emotion or p.status, *(f"{p.to_dict()['probabilities'].get(n, 0):.1%}" for n in p.class_names)]
        for p in predictions
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([*(c.ljust(w) for c, w in zip(r[:2], widths[:2], strict=True)), *map(str.rjust, r[2:], widths[2:])])
        for r in rows
    ]
    lines += [f"note: {p.source}: {warning}" for p in predictions for warning in p.warnings]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def as_json(predictions: Sequence[Prediction]) -> str:
    """Return a JSON list of `Prediction.to_dict`."""
    return json.dumps([prediction.to_dict() for prediction in predictions], indent=2, ensure_ascii=False) + "\n"


def as_csv(predictions: Sequence[Prediction]) -> str:
    """Return CSV: file, emotion, confidence, duration, `p_<class>` for every class, warnings joined by spaces."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = predictions[0].class_names
    writer.writerow(["file", "emotion", "confidence", "duration", *(f"p_{name}" for name in names), "warnings"])
    for p in predictions:
        numbers = (p.confidence, *p.probabilities) if p.probabilities is not None else [None] * (1 + len(names))
        confidence, *probabilities = ("" if value is None else f"{value:.9g}" for value in numbers)
        writer.writerow(
            [p.source, p.emotion or p.status, confidence, f"{p.duration:.3f}", *probabilities, " ".join(p.warnings)]
        )
    return text.getvalue()
