"""The picture of a recording as a chart: attention, waveform and mel spectrogram on one axis of time."""

from typing import Any

import numpy as np
import pyarrow as pa

from app.sound_picture import DB_RANGE, SoundPicture

ChartSpec = dict[str, Any]
"""A chart or a part of one as Vega-Lite specifies it, for `st.vega_lite_chart`; its tables are under `datasets`, in the
format that goes to the browser.

Written out, because building it from Altair's objects takes several times as long as a prediction.
"""

_AXIS_WIDTH = 62
"""Pixels to the left of the plot."""
_FIT_WIDTH = {"type": "fit-x", "contains": "padding"}
"""The width is that of the page, the height that of the plot itself: its axes come on top."""
_ATTENTION, _WAVEFORM, _SPECTROGRAM = (0, 44), (56, 166), (178, 358)
"""Where the three lie, in pixels from the top. In one view, as only a single one takes the width of the page."""
_HERTZ = [0, 500, 1000, 2000, 4000, 8000, 16000]
_LABEL_WIDTH = _AXIS_WIDTH - 24
"""Pixels for the numbers, which leaves room for the title beside them."""
_ORANGE, _BLUE = "#E69F00", "#0072B2"


def picture_chart(picture: SoundPicture) -> ChartSpec:
    """Return attention above the waveform, which it also shades, above the mel spectrogram."""
    return {
        "datasets": {"cells": _cells(picture), "columns": _columns(picture)},
        "layer": [_spectrogram(picture), *_attention_and_waveform(picture)],
        "resolve": {"scale": {"y": "independent"}},
        "height": _SPECTROGRAM[1],
        "autosize": _FIT_WIDTH,
    }


def _columns(picture: SoundPicture) -> pa.Table:
    edge = np.full(len(picture.low), _peak(picture))
    return pa.table(
        {
            "start": picture.seconds[:-1],
            "end": picture.seconds[1:],
            "low": picture.low,
            "high": picture.high,
            "attention": picture.attention,
            "zero": 0 * edge,
            "bottom": -edge,
            "top": edge,
        }
    )


def _cells(picture: SoundPicture) -> pa.Table:
    n_bands, n_columns = picture.decibels.shape
    seconds, hertz = picture.seconds.astype(np.float32), picture.hertz.astype(np.float32)
    # Every cell reaches one further to the right and up, where the next ones cover it: no hairlines between them.
    ends = np.append(seconds[2:], seconds[-1])
    roofs = np.append(hertz[2:], hertz[-1])
    return pa.table(
        {
            "start": np.tile(seconds[:-1], n_bands),
            "end": np.tile(ends, n_bands),
            "low": np.repeat(hertz[:-1], n_columns),
            "high": np.repeat(roofs, n_columns),
            "decibels": picture.decibels.ravel(),
        }
    )


def _attention_and_waveform(picture: SoundPicture) -> list[ChartSpec]:
    most, peak = float(picture.attention.max()), _peak(picture)
    time = {
        "x": _time(picture),
        "x2": {"field": "end"},
        "tooltip": [
            {"field": "start", "type": "quantitative", "title": "seconds", "format": ".2f"},
            {"field": "attention", "type": "quantitative", "title": "attention (1 is the average)", "format": ".2f"},
        ],
    }
    loudness = _linear((-peak, peak), _WAVEFORM)
    strip = {
        "y": _part("attention", "attention", _linear((0.0, most), _ATTENTION), values=[0, most], form=".2~g"),
        "y2": {"field": "zero"},
    }
    shade = {
        "y": {"field": "bottom", "type": "quantitative", "scale": loudness, "axis": None},
        "y2": {"field": "top"},
        "opacity": {
            "field": "attention",
            "type": "quantitative",
            "scale": {"domain": [0, most], "range": [0, 0.6]},
            "legend": None,
        },
    }
    wave = {
        "y": _part("low", "waveform", loudness, values=[-peak, 0, peak], form=".2~g"),
        "y2": {"field": "high"},
    }
    orange = {"type": "rect", "color": _ORANGE}
    blue = {"type": "rect", "color": _BLUE, "stroke": _BLUE, "strokeWidth": 0.7}
    return [
        {"data": {"name": "columns"}, "mark": mark, "encoding": {**time, **part}}
        for mark, part in ((orange, strip), (orange, shade), (blue, wave))
    ]


def _spectrogram(picture: SoundPicture) -> ChartSpec:
    nyquist = float(picture.hertz[-1])
    values = [hertz for hertz in _HERTZ if hertz <= nyquist]
    # Linear below 1 kHz and logarithmic above, as the mel scale is.
    mel = {
        "type": "symlog",
        "constant": 1000,
        "domain": [0, nyquist],
        "range": list(_SPECTROGRAM[::-1]),
        "nice": False,
    }
    encoding = {
        "x": _time(picture),
        "x2": {"field": "end"},
        "y": _part("low", "mel, Hz", mel, values=values),
        "y2": {"field": "high"},
        "color": {
            "field": "decibels",
            "type": "quantitative",
            "title": "dB under the loudest",
            "scale": {"scheme": "viridis", "domain": [-DB_RANGE, 0]},
            "legend": {"orient": "bottom", "direction": "horizontal", "gradientLength": 160, "gradientThickness": 8},
        },
    }
    return {"data": {"name": "cells"}, "mark": "rect", "encoding": encoding}


def _peak(picture: SoundPicture) -> float:
    return float(max(-picture.low.min(), picture.high.max()))


def _time(picture: SoundPicture) -> ChartSpec:
    return {
        "field": "start",
        "type": "quantitative",
        "title": "seconds",
        "scale": {"domain": [0, float(picture.seconds[-1])], "nice": False},
        "axis": {"grid": False},
    }


def _part(field: str, title: str, scale: ChartSpec, *, values: list[float], form: str = "d") -> ChartSpec:
    """Return the vertical axis of one of the three."""
    axis = {
        "orient": "left",
        "offset": 0,
        "values": values,
        "format": form,
        "grid": False,
        "labelOverlap": False,
        "minExtent": _LABEL_WIDTH,
        "maxExtent": _LABEL_WIDTH,
    }
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def _linear(domain: tuple[float, float], pixels: tuple[int, int]) -> ChartSpec:
    top, bottom = pixels
    return {"domain": list(domain), "range": [bottom, top], "nice": False}
