"""The picture of a recording as a chart: attention, waveform and mel spectrogram on one axis of time."""

import altair as alt
import numpy as np
import pandas as pd

from app.charts import AXIS_WIDTH, FIT_WIDTH
from app.sound_picture import DB_RANGE, SoundPicture

_ATTENTION, _WAVEFORM, _SPECTROGRAM = (0, 44), (56, 166), (178, 358)
"""Where the three lie, in pixels from the top. In one view, as only a single one takes the width of the page."""
_HERTZ = [0, 500, 1000, 2000, 4000, 8000, 16000]
_LABEL_WIDTH = AXIS_WIDTH - 24
"""Pixels for the numbers, which leaves room for the title beside them."""
_ORANGE, _BLUE = "#E69F00", "#0072B2"


def picture_chart(picture: SoundPicture) -> alt.LayerChart:
    """Return attention above the waveform, which it also shades, above the mel spectrogram."""
    layers = [_spectrogram(picture), *_attention_and_waveform(picture)]
    return alt.layer(*layers).resolve_scale(y="independent").properties(height=_SPECTROGRAM[1], autosize=FIT_WIDTH)


def _attention_and_waveform(picture: SoundPicture) -> list[alt.Chart]:
    most = float(picture.attention.max())
    peak = float(max(-picture.low.min(), picture.high.max()))
    table = pd.DataFrame(
        {
            "start": picture.seconds[:-1],
            "end": picture.seconds[1:],
            "low": picture.low,
            "high": picture.high,
            "attention": picture.attention,
            "zero": 0.0,
            "bottom": -peak,
            "top": peak,
        }
    )
    base = alt.Chart(table).encode(
        x=_time(picture),
        x2="end:Q",
        tooltip=[
            alt.Tooltip("start:Q", title="seconds", format=".2f"),
            alt.Tooltip("attention:Q", title="attention (1 is the average)", format=".2f"),
        ],
    )
    loudness = _linear((-peak, peak), _WAVEFORM)
    strip = base.mark_rect(color=_ORANGE).encode(
        y=_part("attention:Q", "attention", _linear((0.0, most), _ATTENTION), values=[0, most], form=".2~g"),
        y2="zero:Q",
    )
    shade = base.mark_rect(color=_ORANGE).encode(
        y=alt.Y("bottom:Q", scale=loudness, axis=None),
        y2="top:Q",
        opacity=alt.Opacity("attention:Q", scale=alt.Scale(domain=[0, most], range=[0, 0.6]), legend=None),
    )
    wave = base.mark_rect(color=_BLUE, stroke=_BLUE, strokeWidth=0.7).encode(
        y=_part("low:Q", "waveform", loudness, values=[-peak, 0, peak], form=".2~g"), y2="high:Q"
    )
    return [strip, shade, wave]


def _spectrogram(picture: SoundPicture) -> alt.Chart:
    n_bands, n_columns = picture.decibels.shape
    # Every cell reaches one further to the right and up, where the next ones cover it: no hairlines between them.
    ends = np.append(picture.seconds[2:], picture.seconds[-1])
    roofs = np.append(picture.hertz[2:], picture.hertz[-1])
    table = pd.DataFrame(
        {
            "start": np.tile(picture.seconds[:-1], n_bands),
            "end": np.tile(ends, n_bands),
            "low": np.repeat(picture.hertz[:-1], n_columns),
            "high": np.repeat(roofs, n_columns),
            "decibels": picture.decibels.ravel(),
        },
        dtype=np.float32,
    )
    nyquist = float(picture.hertz[-1])
    values = [hertz for hertz in _HERTZ if hertz <= nyquist]
    # Linear below 1 kHz and logarithmic above, as the mel scale is.
    mel = alt.Scale(type="symlog", constant=1000, domain=[0, nyquist], range=list(_SPECTROGRAM[::-1]), nice=False)
    return (
        alt.Chart(table)
        .mark_rect()
        .encode(
            x=_time(picture),
            x2="end:Q",
            y=_part("low:Q", "mel, Hz", mel, values=values),
            y2="high:Q",
            color=alt.Color(
                "decibels:Q",
                title="dB under the loudest",
                scale=alt.Scale(scheme="viridis", domain=[-DB_RANGE, 0]),
                legend=alt.Legend(orient="bottom", direction="horizontal", gradientLength=160, gradientThickness=8),
            ),
        )
    )


def _time(picture: SoundPicture) -> alt.X:
    scale = alt.Scale(domain=[0, float(picture.seconds[-1])], nice=False)
    return alt.X("start:Q", title="seconds", scale=scale, axis=alt.Axis(grid=False))


def _part(field: str, title: str, scale: alt.Scale, *, values: list[float], form: str = "d") -> alt.Y:
    """Return the vertical axis of one of the three."""
    axis = alt.Axis(
        orient="left",
        offset=0,
        values=values,
        format=form,
        grid=False,
        labelOverlap=False,
        minExtent=_LABEL_WIDTH,
        maxExtent=_LABEL_WIDTH,
    )
    return alt.Y(field, title=title, scale=scale, axis=axis)


def _linear(domain: tuple[float, float], pixels: tuple[int, int]) -> alt.Scale:
    top, bottom = pixels
    return alt.Scale(domain=domain, range=[bottom, top], nice=False)
