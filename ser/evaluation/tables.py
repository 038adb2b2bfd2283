"""Tables as text, and how scores are written in them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

UNNAMED = "without a name"
"""In the place of the name of a corpus that has none."""


def table(rows: Sequence[Sequence[str]], *, left: int = 1, markdown: bool = True) -> str:
    """Return an aligned table, in Markdown with the first row as its head, or without any lines.

    Parameters
    ----------
    left : the number of columns that are flush left; the others are flush right.
    """
    aligned = ["left" if place < left else "right" for place in range(len(rows[0]))]
    head, body = (list(rows[0]), rows[1:]) if markdown else ([], rows)
    form = "pipe" if markdown else "plain"
    return str(tabulate(body, headers=head, tablefmt=form, colalign=aligned, disable_numparse=True))


def class_rows(per_class: Mapping[str, Any]) -> list[list[str]]:
    """Return a table of recall, precision, F1 and support of every class, of `classification_metrics`."""
    rows = [["class", "recall", "precision", "F1", "support"]]
    for name, one in per_class.items():
        rows.append([name, *(percent(one[key]) for key in ("recall", "precision", "f1")), str(one["support"])])
    return rows


def corpus_rows(by_corpus: Mapping[str, Any]) -> list[list[str]]:
    """Return a table with a row a corpus, of `ser.evaluation.metrics.corpus_metrics`; classes are counted."""
    head = ["recordings", "speakers", "classes", "accuracy", "UAR", "closed-set UAR", "calibration error"]
    rows = [["corpus", *head]]
    for corpus, one in by_corpus.items():
        counts = map(str, (one["n_recordings"], one["n_speakers"], len(one["classes"])))
        closed = one["uar"] if one["closed_set"] is None else one["closed_set"]["uar"]
        fractions = (one["accuracy"], one["uar"], closed, one["expected_calibration_error"])
        rows.append([corpus or UNNAMED, *counts, *map(percent, fractions)])
    return rows


def confusion_rows(confusion: Sequence[Sequence[int]], class_names: Sequence[str]) -> list[list[str]]:
    """Return a table of a confusion matrix, rows true, with the names of the classes at both sides."""
    counts = [[name, *map(str, row)] for name, row in zip(class_names, confusion, strict=True)]
    return [["true \\ predicted", *class_names], *counts]


def percent(fraction: float | None) -> str:
    """Return a fraction in percent with two decimals; a dash for what is undefined.

    >>> percent(0.12345), percent(-1e-17), percent(None)
    ('12.35%', '0.00%', '-')
    """
    return "-" if fraction is None else f"{fraction:z.2%}"


def decimal(value: float | None) -> str:
    """Return a number with three decimals; a dash for what is undefined."""
    return "-" if value is None else f"{value:.3f}"


def interval(ends: Sequence[float]) -> str:
    """Return an interval of fractions in percent.

    >>> interval((0.5, 0.625))
    '50.00% to 62.50%'
    """
    low, high = ends
    return f"{percent(low)} to {percent(high)}"


def spread(values: Mapping[str, float | None], form: Callable[[float | None], str] = percent) -> str:
    """Return a mean and, where it is defined, its standard deviation ("sd"), both written by `form`."""
    return form(values["mean"]) + ("" if values["sd"] is None else f" ± {form(values['sd'])}")
