"""The figures of the features: distributions, means, correlations, effects, and maps of the recordings."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from ser.eda.boxes import draw_box, name_rows
from ser.eda.palette import OKABE_ITO, emotion_style
from ser.eda.tables import EFFECT_FACTORS
from ser.evaluation.figures import DIVERGING, SMALL_TEXT
from ser.evaluation.svg import TILE, tell, tell_values
from ser.features.settings import FeatureSettings

_SHOWN_EFFECTS = 20
_FACTOR_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")  # of `EFFECT_FACTORS`
_FACTOR_MARKERS = "oD^sx"
_MOST_SPEAKERS = 32
"""More have no legend, which would be larger than the map: their points tell who they are."""
_MOST_POINTS = 5000
"""A page of more points is slow: they become one picture, and tell nothing."""


def distribution_figure(
    recordings: pd.DataFrame, statistics: pd.DataFrame, largest: Any, features: FeatureSettings
) -> Figure:
    """Draw the distribution of one mean or deviation by emotion, of a row of `ser.eda.tables.effect_sizes`."""
    emotions = recordings["emotion"]
    levels = list(emotions.cat.categories)
    named = statistics[largest.statistic, largest.group, largest.feature].set_axis(recordings["file"])
    figure = Figure(figsize=(TILE, 0.27 * len(levels) + 1.1), layout="constrained")
    axes = figure.subplots()
    # Of mel, the statistics are of decibels.
    unit = "dB" if largest.group == "mel" else features.known_groups[largest.group].unit
    for place, level in enumerate(levels):
        values = named[(emotions == level).to_numpy()]
        draw_box(
            axes, values, place, emotion_style(level, levels)[0], height=0.7, label=level,
            form=lambda value: f"{value:.3g} {unit}",
        )  # fmt: skip
    name_rows(axes, levels)
    axes.margins(x=0.02)
    effect = f" (η² {largest.emotion:.2f})" if "emotion" in largest._fields else ""
    axes.set_title(f"{largest.name}{effect}", fontsize=11)
    axes.set_xlabel(f"{largest.statistic} over time ({unit})", fontsize=SMALL_TEXT)
    return figure


def mean_feature_figure(statistics: pd.DataFrame, means: pd.DataFrame, names: list[str]) -> Figure:
    """Draw the `mean_features` of each emotion, channel and so on, in standard deviations from the mean of all.

    `names` are labels of the features, in their order.
    """
    spread = statistics["mean"].std(ddof=0)
    matrix = (means[1:] - means.iloc[0]) / spread.where(spread > 0, 1.0)
    size, reach = (9.4, 0.3 * len(matrix) + 1.3), matrix.abs().max(axis=None)
    figure, axes = _map_of_features(matrix, size, reach=reach, label="standard deviations")
    factors, levels, counts = (matrix.index.get_level_values(name) for name in matrix.index.names)
    axes.set_yticks(range(len(matrix)), [f"{level} ({n:,})" for level, n in zip(levels, counts, strict=True)])
    for start in np.flatnonzero(factors[1:] != factors[:-1]):
        axes.axhline(start + 0.5, color="black", linewidth=1.5)
    axes.set_title("Mean features, compared with all recordings")
    rows = [f"{level}" for level in levels]
    tell_values(axes.images[0], rows, names, text="{row}, {column}: {value} standard deviations", digits=2)
    return figure


def correlation_figure(matrix: pd.DataFrame, names: list[str]) -> Figure:
    """Draw the correlation of every two features' means, [features, features]; constant features are grey.

    `names` are labels of the features, in their order.
    """
    figure, axes = _map_of_features(matrix, (6.4, 5.6), reach=1, label="Pearson's r over recordings")
    axes.set_facecolor("0.6")
    _mark_groups(axes, matrix.columns, height=4.6, vertical=True)
    axes.set_title(f"Correlation of {len(matrix)} features, each the mean of a recording", fontsize=11)
    tell_values(axes.images[0], names, names, text="{row}, {column}: r = {value}", digits=2)
    return figure


def _map_of_features(
    matrix: pd.DataFrame, size: tuple[float, float], *, reach: float, label: str
) -> tuple[Figure, Axes]:
    """Draw values from `-reach` to `reach`, a column a feature."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, aspect="auto", cmap=DIVERGING, vmin=-reach, vmax=reach, interpolation="none")
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.05, aspect=30, label=label)
    axes.tick_params(length=0)
    _mark_groups(axes, matrix.columns, height=size[0] - 1.8)
    return figure, axes


def _mark_groups(axes: Axes, features: pd.MultiIndex, *, height: float, vertical: bool = False) -> None:
    """Draw lines between the groups of features along an axis of `height` inches, and name them there."""
    sizes = features.get_level_values("group").value_counts(sort=False)
    ends = sizes.cumsum()
    for end in ends[:-1]:
        (axes.axhline if vertical else axes.axvline)(end - 0.5, color="black", linewidth=0.8)
    centres = (ends - (sizes + 1) / 2).to_numpy()
    places = _apart(centres, 0.17 * len(features) / height)  # inches of a line of text
    if vertical:
        axes.set_yticks(places, sizes.index)
    else:
        axes.set_xticks(places, sizes.index, rotation=90)


def _apart(places: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Return ascending places at least `gap` apart: those that are closer are moved, the last of them least."""
    moved = places.copy()
    for place in range(len(moved) - 2, -1, -1):
        moved[place] = min(moved[place], moved[place + 1] - gap)
    return moved


def effect_figure(effects: pd.DataFrame) -> Figure:
    """Draw, for the features that differ most between emotions, the eta squared of each factor (`effect_sizes`)."""
    shown = effects[:_SHOWN_EFFECTS]
    names = list(shown["name"] + " (" + shown["statistic"] + ")")
    figure = Figure(figsize=(TILE, 0.4 * len(shown) + 1.5), layout="constrained")
    axes, places = figure.subplots(), np.arange(len(shown))
    for factor, colour, marker in zip(EFFECT_FACTORS, _FACTOR_COLOURS, _FACTOR_MARKERS, strict=True):
        if factor not in shown:
            continue
        if factor == "emotion":
            axes.barh(places, shown[factor], color=colour, alpha=0.35, height=0.4)
        (points,) = axes.plot(shown[factor], places, marker, color=colour, markersize=7, label=factor, clip_on=False)
        known = [(name, value) for name, value in zip(names, shown[factor], strict=True) if not np.isnan(value)]
        tell(points, [f"{name}, {factor}: η² {value:.1%}" for name, value in known])
    for place, name in enumerate(names):  # above its bar: beside it, the name would take half a phone's width
        axes.annotate(name, (0, place - 0.3), (1, 0), textcoords="offset points", fontsize=SMALL_TEXT, va="bottom")
    name_rows(axes, [""] * len(names))
    axes.set_ylim(len(names) - 0.6, -0.9)
    largest = shown[[factor for factor in EFFECT_FACTORS if factor in shown]].max(axis=None)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set(xlim=(0, np.ceil(20 * largest) / 20), xlabel="variance between the groups (η²)")
    axes.set_title(f"The {len(shown)} largest effects of emotion", fontsize=11)
    figure.legend(
        loc="outside lower center", ncols=3, frameon=False, fontsize=SMALL_TEXT, handletextpad=0.2, columnspacing=0.8
    )
    return figure


def map_figure(points: pd.DataFrame, recordings: pd.DataFrame, *, factor: str, title: str) -> Figure:
    """Draw a map of the recordings, coloured by "emotion" or "speaker", small and pale so that crowds show.

    `points` has a row a recording and two columns, named as the axes.
    """
    styles = _styles(recordings, factor)
    rows, columns = -(-len(styles) // 3), 3
    if factor == "speaker":
        rows, columns = -(-len(styles) // 6), 6
    has_legend = factor == "emotion" or len(styles) <= _MOST_SPEAKERS
    figure = Figure(figsize=(TILE, 3.6 + 0.22 * rows * has_legend), layout="constrained")
    axes = figure.subplots()
    for level, (colour, marker) in styles.items():
        chosen = (recordings[factor] == level).to_numpy()
        x, y = points[chosen].to_numpy().T
        (drawn,) = axes.plot(
            x, y, marker, color=colour, markersize=4, markeredgewidth=0, alpha=0.7, label=str(level), clip_on=False
        )
        drawn.set_rasterized(len(points) > _MOST_POINTS)
        if len(points) <= _MOST_POINTS:
            known = recordings[chosen]
            facts = zip(known["file"], known["emotion"], known["speaker"], strict=True)
            tell(drawn, [f"{file}: {emotion}, speaker {speaker or 'unknown'}" for file, emotion, speaker in facts])
    axes.margins(0.01)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"{title}, coloured by {factor}", fontsize=11)
    axes.set_xlabel(points.columns[0])
    axes.set_ylabel(points.columns[1])
    if has_legend:
        figure.legend(
            loc="outside lower center", ncols=columns, fontsize=SMALL_TEXT, frameon=False, handletextpad=0.1,
            columnspacing=0.6, markerscale=1.6,
        )  # fmt: skip
    return figure


def _styles(recordings: pd.DataFrame, factor: str) -> dict[str, tuple[str, str]]:
    """Return the colour and the marker of each level of a factor."""
    if factor == "emotion":
        emotions = list(recordings["emotion"].cat.categories)
        return {level: emotion_style(level, emotions) for level in emotions}
    speakers = sorted(set(recordings["speaker"]))
    # Eight colours by three markers, which tell the 24 actors of RAVDESS apart, each the same in every figure.
    numbered = all(name.isdecimal() and len(name) == 2 for name in speakers)
    places = {name: int(name) - 1 if numbered else place for place, name in enumerate(speakers)}
    return {speaker: (OKABE_ITO[place % 8], "o^s"[place // 8 % 3]) for speaker, place in places.items()}
