"""Figures of the features: distributions, means, correlations, effect sizes, and maps of the recordings."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from ser.eda.embedding import Embedding
from ser.eda.observations import LEVELS, Observations
from ser.eda.palette import EMOTION_COLOURS, EMOTION_MARKERS, FACTOR_STYLES, actor_style
from ser.eda.tables import EFFECT_FACTORS
from ser.features.groups import GROUPS
from ser.features.settings import FeatureSettings, feature_names, rows_of

_COLUMNS = 4
_SHOWN_EFFECTS = 20


def distribution_figure(observations: Observations, effects: pd.DataFrame) -> Figure:
    """Draw, for each group, the distribution of the mean or deviation that differs most between emotions.

    Parameters
    ----------
    effects : as `effect_sizes` returns them, the largest of emotion first.
    """
    names = feature_names(observations.features)
    largest = effects.drop_duplicates("group").set_index("group")
    statistics = {"mean": observations.means, "deviation": observations.deviations}
    groups = observations.features.groups
    n_lines = -(-len(groups) // _COLUMNS)
    figure = Figure(figsize=(4.2 * min(_COLUMNS, len(groups)), 3.5 * n_lines + 0.6), layout="constrained")
    grid = figure.subplots(n_lines, min(_COLUMNS, len(groups)), squeeze=False).ravel()
    emotions = observations.recordings["emotion"]
    for axes, group in zip(grid, groups, strict=False):
        feature, statistic = largest.loc[group, ["feature", "statistic"]]
        values = statistics[statistic][:, names.index(feature)]
        boxes = axes.boxplot(
            [values[emotions == emotion] for emotion in emotions.cat.categories],
            widths=0.7,
            patch_artist=True,
            medianprops={"color": "white", "linewidth": 2},
            flierprops={"marker": ".", "markersize": 3, "markerfacecolor": "0.5", "markeredgecolor": "0.5"},
        )
        for box, emotion in zip(boxes["boxes"], emotions.cat.categories, strict=True):
            box.set_facecolor(EMOTION_COLOURS[emotion])
        axes.set_xticklabels(emotions.cat.categories, rotation=40, ha="right", rotation_mode="anchor")
        effect = f", η² = {largest.at[group, 'emotion']:.2f}" if "emotion" in largest else ""
        axes.set_title(f"{feature}{effect}", fontsize=11)
        unit = "dB" if group == "mel" else GROUPS[group].unit  # of mel, the statistics are of decibels
        axes.set_ylabel(f"{statistic} over time ({unit})")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(groups) :]:
        axes.set_axis_off()
    figure.suptitle(
        "The feature of each group that differs most between emotions "
        f"({len(emotions):,} recordings; box: quartiles, white line: median)"
    )
    return figure


def mean_feature_figure(observations: Observations) -> Figure:
    """Draw the means of each emotion, channel, intensity and gender, in standard deviations from the mean of all."""
    spread = observations.means.std(axis=0)
    scaled = (observations.means - observations.means.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    labels, lines, ends = [], [], []
    for factor in LEVELS:
        column = observations.recordings[factor]
        for level in column.cat.categories:
            chosen = (column == level).to_numpy()
            labels.append(f"{level} ({chosen.sum():,})")
            lines.append(scaled[chosen].mean(axis=0))
        ends.append(len(labels))
    matrix = np.stack(lines)
    reach = np.abs(matrix).max()
    figure = Figure(figsize=(14, 0.36 * len(labels) + 1.9), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, aspect="auto", cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    axes.set_yticks(range(len(labels)), labels)
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color="black", linewidth=1.5)
    _mark_groups(axes, observations.features)
    axes.set(title="Mean features, compared with all recordings", ylabel="recordings")
    figure.colorbar(image, ax=axes, pad=0.01, label="standard deviations")
    return figure


def correlation_figure(matrix: NDArray[np.float64], features: FeatureSettings) -> Figure:
    """Draw the correlation of every two features' means, float64 [features, features]; constant features are grey."""
    figure = Figure(figsize=(9.6, 8.6), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("0.7")
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    _mark_groups(axes, features)
    _mark_groups(axes, features, vertical=True)
    axes.set_title(f"Correlation of {len(matrix)} features, each the mean of a recording")
    figure.colorbar(image, ax=axes, pad=0.02, label="Pearson's r over recordings")
    return figure


def _mark_groups(axes: Axes, features: FeatureSettings, *, vertical: bool = False) -> None:
    """Draw lines between the groups of features along an axis, and name them there."""
    rows = rows_of(features)
    centres = [(part.start + part.stop - 1) / 2 for part in rows.values()]
    for part in list(rows.values())[:-1]:
        (axes.axhline if vertical else axes.axvline)(part.stop - 0.5, color="black", linewidth=0.8)
    if vertical:
        axes.set_yticks(centres, list(rows))
    else:
        axes.set_xticks(centres, list(rows), rotation=90)  # else the names of narrow groups overlap


def effect_figure(effects: pd.DataFrame) -> Figure:
    """Draw the features that differ most between emotions, with their other effects: `effects` from `effect_sizes`."""
    factors = [factor for factor in EFFECT_FACTORS if factor in effects]
    shown = effects.head(_SHOWN_EFFECTS)
    figure = Figure(figsize=(9.5, 0.3 * len(shown) + 1.8), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(shown))
    for factor in factors:
        colour, marker = FACTOR_STYLES[factor]
        if factor == "emotion":
            axes.barh(places, shown[factor], color=colour, alpha=0.35, height=0.8)
        axes.plot(shown[factor], places, marker, color=colour, markersize=7, label=factor, clip_on=False)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_yticks(places, [f"{row.feature} ({row.statistic})" for row in shown.itertuples()])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set(
        title=f"The {len(shown)} features that differ most between emotions",
        xlabel="fraction of the variance that lies between the groups (η²)",
    )
    axes.grid(axis="x", alpha=0.25)
    figure.legend(title="groups", loc="outside right upper")
    return figure


def embedding_figure(embedding: Embedding, recordings: pd.DataFrame) -> Figure:
    """Draw one map of the recordings twice: coloured by emotion and by actor."""
    figure = Figure(figsize=(15, 7.2), layout="constrained")
    by_emotion, by_actor = figure.subplots(1, 2)
    emotions = {e: (EMOTION_COLOURS[e], EMOTION_MARKERS[e]) for e in recordings["emotion"].cat.categories}
    actors = {actor: actor_style(actor) for actor in sorted(set(recordings["actor"]))}
    _scatter(by_emotion, embedding.points, recordings["emotion"], emotions)
    _scatter(by_actor, embedding.points, recordings["actor"], actors)
    for axes in (by_emotion, by_actor):
        axes.set(xlabel=embedding.axis_labels[0], ylabel=embedding.axis_labels[1])
    figure.suptitle(f"{embedding.title} of {len(recordings):,} recordings (means and deviations of their features)")
    return figure


def _scatter(
    axes: Axes, points: NDArray[np.float64], labels: pd.Series, styles: Mapping[str | int, tuple[str, str]]
) -> None:
    """Draw `points` [recordings, 2] in the (colour, marker) of their labels, small and pale so that crowds show."""
    entries = []
    for label, (colour, marker) in styles.items():
        axes.scatter(*points[(labels == label).to_numpy()].T, s=22, c=colour, marker=marker, alpha=0.7, linewidths=0)
        entries.append(Line2D([], [], linestyle="", marker=marker, color=colour, markersize=7, label=f"{label}"))
    axes.set_title(f"coloured by {labels.name}")
    axes.legend(handles=entries, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=min(len(styles), 8), fontsize=9)
