"""Charts of predictions: confidences, and emotions over time. Light enough for a phone, legible in both themes."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ser.eda.palette import EMOTION_COLOURS
from ser.inference.results import Prediction

ChartSpec = dict[str, Any]
"""A chart or a part of one as Vega-Lite specifies it, for `st.vega_lite_chart`; its tables are under `datasets`, in the
format that goes to the browser.

Written out, because building it from Altair's objects takes several times as long as a prediction.
"""

COLOURS = {**EMOTION_COLOURS, "neutral": "#636363"}
"""The colours of the figures, but grey for their black, which a dark page would swallow."""
_OTHER_COLOUR = "#BBBBBB"
AXIS_WIDTH = 62
"""Pixels to the left of a plot, so that plots above each other begin at the same place."""
FIT_WIDTH = {"type": "fit-x", "contains": "padding"}
"""The width is that of the page, the height that of the plot itself: its axes come on top."""
_ROW = 26
_LANES = {
    "minExtent": AXIS_WIDTH,
    "labelOverlap": False,
    "ticks": False,
    "domain": False,
    "grid": True,
    "tickBand": "extent",
}


def confidence_chart(prediction: Prediction) -> ChartSpec:
    """Return a bar for the probability of every class, in the model's order, with its percentage to the right.

    Parameters
    ----------
    prediction : one with an emotion.
    """
    assert prediction.probabilities is not None
    names = list(prediction.class_names)
    x = {
        "field": "confidence",
        "type": "quantitative",
        "title": "confidence",
        "scale": {"domain": [0, 1]},
        "axis": {"format": ".0%", "values": [0, 0.25, 0.5, 0.75, 1]},
    }
    y = {"field": "emotion", "type": "nominal", "sort": names, "title": None}
    tooltip = [
        {"field": "emotion", "type": "nominal"},
        {"field": "confidence", "type": "quantitative", "format": ".1%"},
    ]
    bars = {"x": x, "y": {**y, "axis": _LANES}, "color": _emotion_colour(names), "tooltip": tooltip}
    # The numbers are labels of a second axis: unlike text in the plot, labels take the colour of the page's theme.
    percent = {name: f"{p:.1%}" for name, p in zip(names, prediction.probabilities, strict=True)}
    label = f"{json.dumps(percent)}[datum.value]"
    numbers = {"orient": "right", "labelExpr": label, "labelFontWeight": "bold", "ticks": False, "domain": False}
    values = {"x": x, "y": {**y, "axis": numbers}, "tooltip": tooltip}
    layers: list[ChartSpec] = [
        {"data": {"name": "probabilities"}, "mark": {"type": "bar", "cornerRadiusEnd": 3}, "encoding": bars},
        {"data": {"name": "probabilities"}, "mark": {"type": "bar", "opacity": 0}, "encoding": values},
    ]
    tables = {"probabilities": pa.table({"emotion": names, "confidence": prediction.probabilities.astype(float)})}
    if prediction.rejection_threshold > 0:
        tables["threshold"] = pa.table({"confidence": [prediction.rejection_threshold]})
        rule = {"type": "rule", "strokeDash": [4, 3], "color": "#888888"}
        threshold = {"x": {"field": "confidence", "type": "quantitative"}}
        layers.append({"data": {"name": "threshold"}, "mark": rule, "encoding": threshold})
    return {
        "datasets": tables,
        "layer": layers,
        "resolve": {"axis": {"y": "independent"}},
        "height": _ROW * len(names),
        "autosize": FIT_WIDTH,
    }


def timeline_chart(prediction: Prediction) -> ChartSpec:
    """Return a band for each utterance over time, in a lane for each class; faint where confidence is low."""
    lanes, segments = list(prediction.class_names), prediction.segments
    confidences = [float(segment.probabilities.max()) for segment in segments]
    table = pa.table(
        {
            "start": [segment.start for segment in segments],
            "end": [segment.end for segment in segments],
            "emotion": [prediction.class_of(segment.probabilities) for segment in segments],
            "strength": confidences,
            "time": [f"{clock(segment.start)} to {clock(segment.end)}" for segment in segments],
            "percent": [f"{confidence:.0%}" for confidence in confidences],
        }
    )
    encoding = {
        "x": {
            "field": "start",
            "type": "quantitative",
            "title": "time",
            "scale": {"domain": [0, prediction.duration], "nice": False},
            "axis": {"labelExpr": CLOCK_LABEL, "tickMinStep": 1, "labelOverlap": True},
        },
        "x2": {"field": "end"},
        "y": {
            "field": "emotion",
            "type": "nominal",
            "sort": lanes,
            "title": None,
            "scale": {"domain": lanes},
            "axis": _LANES,
        },
        "color": _emotion_colour(lanes),
        "opacity": {
            "field": "strength",
            "type": "quantitative",
            "scale": {"domain": [0, 1], "range": [0.5, 1]},
            "legend": None,
        },
        "tooltip": [
            {"field": "time", "type": "nominal"},
            {"field": "emotion", "type": "nominal"},
            {"field": "percent", "type": "nominal", "title": "confidence"},
        ],
    }
    return {
        "datasets": {"utterances": table},
        "data": {"name": "utterances"},
        "mark": {"type": "bar", "cornerRadius": 2, "height": {"band": 0.8}},
        "encoding": encoding,
        "height": _ROW * len(lanes),
        "autosize": FIT_WIDTH,
    }


def clock(seconds: float) -> str:
    """Return a moment as minutes and seconds.

    >>> clock(75.46)
    '1:15.5'
    """
    minutes, tenths = divmod(round(10 * seconds), 600)
    return f"{minutes}:{tenths / 10:04.1f}"


CLOCK_LABEL = "floor(datum.value / 60) + ':' + format(datum.value % 60, '02.0f')"
"""A moment on an axis, as a Vega expression: as `clock`, to whole seconds."""


def _emotion_colour(names: Sequence[str]) -> ChartSpec:
    colours = [COLOURS.get(name, _OTHER_COLOUR) for name in names]
    return {
        "field": "emotion",
        "type": "nominal",
        "scale": {"domain": list(names), "range": colours},
        "legend": None,
    }
