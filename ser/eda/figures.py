"""The figures: counts, durations and examples of the recordings; distributions, effects and maps of the features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from ser.audio.io import read_sound
from ser.eda.embedding import Embedding
from ser.eda.observations import Observations
from ser.eda.palette import CHANNEL_COLOURS, EMOTION_COLOURS, EMOTION_MARKERS, FACTOR_STYLES, actor_style
from ser.eda.tables import EFFECT_FACTORS, LEVEL_COLUMNS
from ser.features.extract import extract
from ser.features.groups import GROUPS
from ser.features.settings import FeatureSettings, feature_names, rows_of

_BIN = 0.1  # seconds
_SHOWN_PERCENT = 99  # of the MFCC within the colour scale, which a few large ones would stretch
_COLUMNS = 4
_SHOWN_EFFECTS = 20


def emotion_figure(recordings: pd.DataFrame) -> Figure:
    """Draw the number of recordings of each emotion, stacked by channel; `recordings` is a `name_table`."""
    counts = pd.crosstab(recordings["emotion"], recordings["channel"])
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    below = np.zeros(len(counts), dtype=int)
    for channel, heights in counts.items():
        bars = axes.bar(
            counts.index, heights, bottom=below, color=CHANNEL_COLOURS[channel], label=str(channel), width=0.75
        )
        below += heights.to_numpy()
        if counts.shape[1] > 1:
            axes.bar_label(bars, [f"{n or ''}" for n in heights], label_type="center", color="white", fontsize=9)
    axes.bar_label(bars, [f"{n}" for n in below], fontweight="bold")
    axes.set(title=f"Recordings of each emotion ({len(recordings):,} in all)", ylabel="recordings")
    axes.set_ylim(0, below.max() * 1.1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(title="channel", loc="outside right upper")
    return figure


def duration_figure(recordings: pd.DataFrame, *, window: float) -> Figure:
    """Draw how long the recordings are, over all and by emotion.

    Parameters
    ----------
    recordings : as `read_headers` returns them.
    window : seconds of the network's input; longer recordings are cut.
    """
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    histogram, boxes = figure.subplots(1, 2, width_ratios=(1, 1.3))
    shortest, longest = recordings["seconds"].min(), recordings["seconds"].max()
    edges = np.arange(np.floor(shortest / _BIN), np.ceil(longest / _BIN) + 1) * _BIN
    emotions = list(recordings["emotion"].cat.categories)
    channels = list(recordings.groupby("channel", observed=True))
    width = 0.7 / len(channels)
    for number, (channel, part) in enumerate(channels):
        colour, seconds = CHANNEL_COLOURS[channel], part["seconds"]
        label = f"{channel}: {seconds.mean():.2f} ± {seconds.std(ddof=0):.2f} s"
        histogram.hist(seconds, bins=edges, color=colour, alpha=0.6, edgecolor=colour, label=label)
        of_emotions = {emotions.index(e): s.to_numpy() for e, s in part.groupby("emotion", observed=True)["seconds"]}
        places = np.array(list(of_emotions)) + (number - (len(channels) - 1) / 2) * width
        _draw_boxes(boxes, list(of_emotions.values()), places, [colour] * len(places), width=0.85 * width)
    if window <= 1.1 * longest:
        label = f"the network's window, {window:.2f} s"
        histogram.axvline(window, color="black", linestyle="--", label=label)
        boxes.axhline(window, color="black", linestyle="--", linewidth=1)
    histogram.set(title="All recordings", xlabel=f"duration in s (bins of {_BIN} s)", ylabel="recordings")
    histogram.legend(title="mean ± standard deviation", fontsize=9, framealpha=1)
    histogram.spines[["top", "right"]].set_visible(False)
    boxes.set_xticks(range(len(emotions)), emotions)
    boxes.set(title="By emotion (box: quartiles, line: median)", ylabel="duration in s")
    figure.suptitle(f"Duration of {len(recordings):,} recordings")
    return figure


def _draw_boxes(
    axes: Axes,
    values: Sequence[NDArray[np.float64]],
    places: NDArray[np.float64],
    colours: Sequence[str],
    *,
    width: float,
) -> None:
    boxes = axes.boxplot(
        values,
        positions=places,
        widths=width,
        patch_artist=True,
        medianprops={"color": "white", "linewidth": 2},
        flierprops={"marker": ".", "markersize": 3, "markerfacecolor": "0.5", "markeredgecolor": "0.5"},
        manage_ticks=False,
    )
    for box, colour in zip(boxes["boxes"], colours, strict=True):
        box.set_facecolor(colour)
    axes.spines[["top", "right"]].set_visible(False)


def choose_examples(recordings: pd.DataFrame) -> pd.DataFrame:
    """Return one recording of each emotion: spoken if there is one, of the same actor and sentence where possible."""
    by = ["channel", "actor", "intensity", "statement", "repetition"]
    preferred = recordings.sort_values(by, ascending=[True, True, False, True, True], kind="stable")
    return preferred.drop_duplicates("emotion").sort_values("emotion")


def example_figure(examples: pd.DataFrame, features: FeatureSettings) -> Figure:
    """Draw waveform, MFCC and mel spectrogram of the recordings that `choose_examples` chose, a row each.

    Raises
    ------
    AudioError : a recording cannot be read.
    """
    # Of the usual sizes: a picture is for people, whatever the features of the network are.
    rate, hop = features.sample_rate, features.hop_length
    drawn = FeatureSettings(sample_rate=rate, n_fft=features.n_fft, hop_length=hop, groups=("mfcc", "mel"))
    rows = rows_of(drawn)
    waveforms = [read_sound(path, sample_rate=rate).waveform for path in examples["path"]]
    matrices = [extract(waveform, drawn) for waveform in waveforms]
    # Without the first coefficient, which is the loudness and ten times as large as the others.
    mfccs = [matrix[rows["mfcc"]][1:] for matrix in matrices]
    powers = [matrix[rows["mel"]] for matrix in matrices]
    loudest = max(power.max() for power in powers)
    mels = [10 * np.log10(np.maximum(power / loudest, 1e-8)) for power in powers]
    reach = np.percentile(np.abs(np.hstack(mfccs)), _SHOWN_PERCENT)

    figure = Figure(figsize=(14, 1.55 * len(examples) + 1.2), layout="constrained")
    grid = figure.subplots(len(examples), 3, squeeze=False, sharex=True)
    peak = max(np.abs(waveform).max() for waveform in waveforms)
    for axes, example, waveform in zip(grid[:, 0], examples.itertuples(), waveforms, strict=True):
        axes.plot(np.arange(len(waveform)) / rate, waveform, color="#0072B2", linewidth=0.4)
        axes.set_ylim(-peak, peak)
        axes.set_ylabel(f"{example.emotion}\n({example.intensity})", fontweight="bold")
    images: list[tuple[Any, ...]] = [  # values, number of the first row, colours, their ends and the label of the bar
        (mfccs, 1, "RdBu_r", -reach, reach, "coefficient in dB"),
        (mels, 0, "magma", -80, 0, "power in dB below the loudest of all"),
    ]
    for column, (values, first, cmap, low, high, label) in enumerate(images, start=1):
        for axes, rows_shown in zip(grid[:, column], values, strict=True):
            extent = (0, rows_shown.shape[1] * hop / rate, first - 0.5, first + len(rows_shown) - 0.5)
            image = axes.imshow(
                rows_shown, extent=extent, origin="lower", aspect="auto", cmap=cmap, vmin=low, vmax=high,
                interpolation="nearest",
            )  # fmt: skip
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        extend = "both" if values is mfccs else "neither"
        figure.colorbar(image, ax=grid[:, column], aspect=60, pad=0.01, extend=extend, label=label)
    for axes, title in zip(grid[0], ("waveform (full scale: 1)", "MFCC, without the first", "mel bands"), strict=True):
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xlabel("time in s")
    grid[0, 0].set_xlim(0, max(map(len, waveforms)) / rate)  # last: each image sets the limits to its own length
    speakers = "actor " + ", ".join(map(str, sorted(set(examples["actor"]))))
    figure.suptitle(f"One recording of each emotion ({speakers}; the first is {examples['file'].iloc[0]})")
    return figure


def distribution_figure(observations: Observations, effects: pd.DataFrame) -> Figure:
    """Draw, for each group, the distribution of the mean or deviation that differs most between emotions.

    Parameters
    ----------
    effects : as `effect_sizes` returns them, the largest of emotion first.
    """
    names, groups = feature_names(observations.features), observations.features.groups
    largest = effects.drop_duplicates("group").set_index("group")
    statistics = {"mean": observations.means, "deviation": observations.deviations}
    n_lines, n_columns = -(-len(groups) // _COLUMNS), min(_COLUMNS, len(groups))
    figure = Figure(figsize=(4.2 * n_columns, 3.5 * n_lines + 0.6), layout="constrained")
    grid = figure.subplots(n_lines, n_columns, squeeze=False).ravel()
    emotions = observations.recordings["emotion"]
    levels, places = list(emotions.cat.categories), np.arange(emotions.cat.categories.size, dtype=np.float64)
    for axes, group in zip(grid, groups, strict=False):
        feature, statistic = largest.loc[group, ["feature", "statistic"]]
        values = statistics[statistic][:, names.index(feature)]
        of_levels = [values[emotions == level] for level in levels]
        _draw_boxes(axes, of_levels, places, [EMOTION_COLOURS[level] for level in levels], width=0.7)
        axes.set_xticks(places, levels, rotation=40, ha="right", rotation_mode="anchor")
        effect = f", η² = {largest.at[group, 'emotion']:.2f}" if "emotion" in largest else ""
        axes.set_title(f"{feature}{effect}", fontsize=11)
        unit = "dB" if group == "mel" else GROUPS[group].unit  # of mel, the statistics are of decibels
        axes.set_ylabel(f"{statistic} over time ({unit})")
    for axes in grid[len(groups) :]:
        axes.set_axis_off()
    figure.suptitle(
        "The feature of each group that differs most between emotions "
        f"({len(emotions):,} recordings; box: quartiles, white line: median)"
    )
    return figure


def mean_feature_figure(observations: Observations, means: pd.DataFrame) -> Figure:
    """Draw the means of each emotion, channel, intensity and gender, in standard deviations from the mean of all.

    Parameters
    ----------
    means : as `mean_features` returns them.
    """
    spread = observations.means.std(axis=0)
    values = means.drop(columns=list(LEVEL_COLUMNS)).to_numpy()
    matrix = (values[1:] - values[0]) / np.where(spread > 0, spread, 1.0)
    rows = means[1:]
    reach = np.abs(matrix).max()
    figure = Figure(figsize=(14, 0.36 * len(rows) + 1.9), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, aspect="auto", cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    axes.set_yticks(range(len(rows)), [f"{row.level} ({row.recordings:,})" for row in rows.itertuples()])
    for start in np.flatnonzero(rows["factor"] != rows["factor"].shift())[1:]:
        axes.axhline(start - 0.5, color="black", linewidth=1.5)
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
    shown = effects.head(_SHOWN_EFFECTS)
    figure = Figure(figsize=(9.5, 0.3 * len(shown) + 1.8), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(shown))
    for factor in [factor for factor in EFFECT_FACTORS if factor in effects]:
        colour, marker = FACTOR_STYLES[factor]
        if factor == "emotion":
            axes.barh(places, shown[factor], color=colour, alpha=0.35, height=0.8)
        axes.plot(shown[factor], places, marker, color=colour, markersize=7, label=factor, clip_on=False)
    axes.set_ylim(len(shown) - 0.3, -0.7)
    axes.set_yticks(places, [f"{row.feature} ({row.statistic})" for row in shown.itertuples()])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_title(f"The {len(shown)} features that differ most between emotions")
    axes.set_xlabel("fraction of the variance that lies between the groups (η²)")
    axes.grid(axis="x", alpha=0.25)
    figure.legend(title="groups", loc="outside right upper")
    return figure


def embedding_figure(embedding: Embedding, recordings: pd.DataFrame) -> Figure:
    """Draw one map of the recordings twice, coloured by emotion and by actor, small and pale so that crowds show."""
    figure = Figure(figsize=(15, 7.2), layout="constrained")
    styles: dict[str, dict[Any, tuple[str, str]]] = {
        "emotion": {e: (EMOTION_COLOURS[e], EMOTION_MARKERS[e]) for e in recordings["emotion"].cat.categories},
        "actor": {actor: actor_style(actor) for actor in sorted(set(recordings["actor"]))},
    }
    for axes, (factor, of_levels) in zip(figure.subplots(1, 2), styles.items(), strict=True):
        entries = []
        for level, (colour, marker) in of_levels.items():
            x, y = embedding.points[(recordings[factor] == level).to_numpy()].T
            axes.scatter(x, y, s=22, c=colour, marker=marker, alpha=0.7, linewidths=0)
            entries.append(Line2D([], [], linestyle="", marker=marker, color=colour, markersize=7, label=f"{level}"))
        axes.set(title=f"coloured by {factor}", xlabel=embedding.axis_labels[0], ylabel=embedding.axis_labels[1])
        ncols = min(len(of_levels), 8)
        axes.legend(handles=entries, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=ncols, fontsize=9)
    figure.suptitle(f"{embedding.title} of {len(recordings):,} recordings (means and deviations of their features)")
    return figure
