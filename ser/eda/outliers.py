"""The recordings that are unlike the others: worth a look, and worth listening to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser.eda.embedding import isolation

_ENDS = 2
"""Recordings that are listed as the shortest, and as the longest."""
_FURTHEST = 8


def outlier_table(
    recordings: pd.DataFrame, statistics: pd.DataFrame, points: NDArray[np.float64], labels: Mapping[str, str]
) -> pd.DataFrame:
    """Return a row a recording, the furthest from all others first.

    The columns are file, emotion, speaker, seconds, distance (`ser.eda.embedding.isolation`), feature (the label of the
    mean or deviation that is furthest from its mean over the recordings) and deviations (how far, in standard
    deviations). `points` are the standardised `statistics`.
    """
    furthest = np.abs(points).argmax(axis=1)
    columns = [f"{statistic} of {labels.get(name, name)}" for statistic, _, name in statistics.columns]
    table = recordings[["file", "emotion", "speaker", "seconds"]].assign(
        distance=isolation(points),
        feature=[columns[place] for place in furthest],
        deviations=points[np.arange(len(points)), furthest],
    )
    return table.sort_values("distance", ascending=False, kind="stable")


def notable(table: pd.DataFrame, paths: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Return what is shown of the outliers: the furthest of `outlier_table`, the shortest and the longest.

    Each has a title, lines of text and the path of its file.
    """
    by_length = table.sort_values("seconds", kind="stable")
    chosen = [
        *((row, f"{row.distance:.1f} times the usual distance") for row in table[:_FURTHEST].itertuples()),
        *((row, "among the longest") for row in by_length[::-1][:_ENDS].itertuples()),
        *((row, "among the shortest") for row in by_length[:_ENDS].itertuples()),
    ]
    found: dict[str, dict[str, Any]] = {}
    for row, why in chosen:
        if row.file in found:
            found[row.file]["title"] += f", {why}"
            continue
        way = "above" if row.deviations > 0 else "below"
        found[row.file] = {
            "title": f"{row.emotion}: {why}",
            "lines": [
                f"speaker {row.speaker or 'unknown'}, {row.seconds:.2f} s; {row.file}",
                f"{row.feature}: {abs(row.deviations):.1f} standard deviations {way} the mean",
            ],
            "path": paths[row.file],
        }
    return list(found.values())
