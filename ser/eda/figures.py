"""The figures: counts, durations and examples of the recordings; distributions, effects and maps of the features."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from ser.audio.io import read_sound
from ser.eda.palette import CHANNEL_COLOURS, OKABE_ITO, emotion_style
from ser.eda.tables import EFFECT_FACTORS
from ser.features.extract import extract
from ser.features.settings import FeatureSettings

_BIN = 0.1  # seconds
_SHOWN_PERCENT = 99  # of the MFCC within the colour scale, which a few large ones would stretch
_COLUMNS = 4
_SHOWN_EFFECTS = 20
_FACTOR_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")  # of `EFFECT_FACTORS`
_FACTOR_MARKERS = "oD^sx"


def emotion_figure(recordings: pd.DataFrame) -> Figure:
    """Draw the number of recordings of each emotion, stacked by channel; `recordings` is a `name_table`."""
    counts = pd.crosstab(recordings["emotion"], recordings["channel"])
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    below = np.zeros(len(counts), dtype=int)
    for channel, heights in counts.items():
        colour, label = CHANNEL_COLOURS[channel], str(channel)
        bars = axes.bar(counts.index, heights, bottom=below, color=colour, label=label, width=0.75)
        below += heights.to_numpy()
        if counts.shape[1] > 1:
            axes.bar_label(bars, [f"{n or ''}" for n in heights], label_type="center", color="white", fontsize=9)
    axes.bar_label(bars, [f"{n}" for n in below], fontweight="bold")
    title = f"Recordings of each emotion ({len(recordings):,} in all)"
    axes.set(title=title, ylabel="recordings", ylim=(0, below.max() * 1.1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(title="channel", loc="outside right upper")
    return figure


def duration_figure(recordings: pd.DataFrame, *, window: float) -> Figure:
    """Draw how long the recordings of `read_headers` are, over all and by emotion, and where `window` s cut them."""
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
        offset = (number - (len(channels) - 1) / 2) * width
        for emotion, of_emotion in part.groupby("emotion", observed=True)["seconds"]:
            _draw_box(boxes, of_emotion, emotions.index(emotion) + offset, colour, width=0.85 * width)
    if window <= 1.1 * longest:
        label = f"the network's window, {window:.2f} s"
        histogram.axvline(window, color="black", linestyle="--", label=label)
        boxes.axhline(window, color="black", linestyle="--", linewidth=1)
    histogram.set(title="All recordings", xlabel=f"duration in s (bins of {_BIN} s)", ylabel="recordings")
    histogram.legend(title="mean ± standard deviation", fontsize=9, framealpha=1)
    for axes in (histogram, boxes):
        axes.spines[["top", "right"]].set_visible(False)
    boxes.set_xticks(range(len(emotions)), emotions)
    boxes.set(title="By emotion (box: quartiles, line: median)", ylabel="duration in s")
    figure.suptitle(f"Duration of {len(recordings):,} recordings")
    return figure


def _draw_box(axes: Axes, values: ArrayLike, place: float, colour: str, *, width: float) -> None:
    flier = {"marker": ".", "markersize": 3, "markerfacecolor": "0.5", "markeredgecolor": "0.5"}
    axes.boxplot(
        values, positions=[place], widths=width, patch_artist=True, boxprops={"facecolor": colour},
        medianprops={"color": "white", "linewidth": 2}, flierprops=flier, manage_ticks=False,
    )  # fmt: skip


def example_figure(recordings: pd.DataFrame, features: FeatureSettings) -> Figure:
    """Draw waveform, MFCC and mel spectrogram of one recording of each emotion, a row each.

    They are spoken if there is speech, of the same speaker and sentence where possible.

    Raises
    ------
    AudioError : a recording cannot be read.
    """
    by = ["channel", "speaker", "intensity", "statement", "repetition"]
    preferred = recordings.sort_values(by, ascending=[True, True, False, True, True], kind="stable")
    examples = preferred.drop_duplicates("emotion").sort_values("emotion")
    # Of the usual sizes: a picture is for people, whatever the features of the network are.
    rate, hop = features.sample_rate, features.hop_length
    drawn = FeatureSettings(sample_rate=rate, n_fft=features.n_fft, hop_length=hop, groups=("mfcc", "mel"))
    waveforms = [read_sound(path, sample_rate=rate).waveform for path in examples["path"]]
    matrices = [np.split(extract(waveform, drawn), [drawn.n_mfcc]) for waveform in waveforms]
    # Without the first coefficient, which is the loudness and ten times as large as the others.
    mfccs, loudest = [mfcc[1:] for mfcc, _ in matrices], max(power.max() for _, power in matrices)
    mels = [10 * np.log10(np.maximum(power / loudest, 1e-8)) for _, power in matrices]
    reach = np.percentile(np.abs(np.hstack(mfccs)), _SHOWN_PERCENT)

    figure = Figure(figsize=(14, 1.55 * len(examples) + 1.2), layout="constrained")
    grid = figure.subplots(len(examples), 3, squeeze=False, sharex=True)
    peak = max(np.abs(waveform).max() for waveform in waveforms)
    for axes, example, waveform in zip(grid[:, 0], examples.itertuples(), waveforms, strict=True):
        axes.plot(np.arange(len(waveform)) / rate, waveform, color="#0072B2", linewidth=0.4)
        axes.set_ylim(-peak, peak)
        how = f"\n({example.intensity})" if isinstance(example.intensity, str) else ""
        axes.set_ylabel(f"{example.emotion}{how}", fontweight="bold")
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
    speakers = "speaker " + ", ".join(map(str, sorted(set(examples["speaker"]))))
    figure.suptitle(f"One recording of each emotion ({speakers}; the first is {examples['file'].iloc[0]})")
    return figure


def distribution_figure(
    recordings: pd.DataFrame, statistics: pd.DataFrame, effects: pd.DataFrame, features: FeatureSettings
) -> Figure:
    """Draw, for each group, the distribution of the mean or deviation of the largest effect (`effect_sizes`)."""
    groups, emotions = statistics.columns.unique("group"), recordings["emotion"]
    largest = effects.drop_duplicates("group").set_index("group")
    n_lines, n_columns = -(-len(groups) // _COLUMNS), min(_COLUMNS, len(groups))
    figure = Figure(figsize=(4.2 * n_columns, 3.5 * n_lines + 0.6), layout="constrained")
    grid = figure.subplots(n_lines, n_columns, squeeze=False).ravel()
    levels = list(emotions.cat.categories)
    for axes, group in zip(grid, groups, strict=False):
        feature, statistic = largest.loc[group, ["feature", "statistic"]]
        for place, level in enumerate(levels):
            values = statistics.loc[emotions == level, (statistic, group, feature)]
            _draw_box(axes, values, place, emotion_style(level, levels)[0], width=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xticks(range(len(levels)), levels, rotation=40, ha="right", rotation_mode="anchor")
        effect = f", η² = {largest.at[group, 'emotion']:.2f}" if "emotion" in largest else ""
        axes.set_title(f"{feature}{effect}", fontsize=11)
        unit = "dB" if group == "mel" else features.known_groups[group].unit  # of mel, the statistics are of decibels
        axes.set_ylabel(f"{statistic} over time ({unit})")
    for axes in grid[len(groups) :]:
        axes.set_axis_off()
    figure.suptitle(
        "The feature of each group that differs most between emotions "
        f"({len(emotions):,} recordings; box: quartiles, white line: median)"
    )
    return figure


def mean_feature_figure(statistics: pd.DataFrame, means: pd.DataFrame) -> Figure:
    """Draw the `mean_features` of each emotion, channel and so on, in standard deviations from the mean of all."""
    spread = statistics["mean"].std(ddof=0)
    matrix = (means[1:] - means.iloc[0]) / spread.where(spread > 0, 1.0)
    size, reach = (14, 0.36 * len(matrix) + 1.9), matrix.abs().max(axis=None)
    figure, axes = _map_of_features(matrix, size, reach=reach, pad=0.01, label="standard deviations")
    factors, levels, counts = (matrix.index.get_level_values(name) for name in matrix.index.names)
    axes.set_yticks(range(len(matrix)), [f"{level} ({n:,})" for level, n in zip(levels, counts, strict=True)])
    for start in np.flatnonzero(factors[1:] != factors[:-1]):
        axes.axhline(start + 0.5, color="black", linewidth=1.5)
    axes.set(title="Mean features, compared with all recordings", ylabel="recordings")
    return figure


def correlation_figure(matrix: pd.DataFrame) -> Figure:
    """Draw the correlation of every two features' means, [features, features]; constant features are grey."""
    figure, axes = _map_of_features(matrix, (9.6, 8.6), reach=1, pad=0.02, label="Pearson's r over recordings")
    axes.set_facecolor("0.7")
    _mark_groups(axes, matrix.columns, vertical=True)
    axes.set_title(f"Correlation of {len(matrix)} features, each the mean of a recording")
    return figure


def _map_of_features(
    matrix: pd.DataFrame, size: tuple[float, float], *, reach: float, pad: float, label: str
) -> tuple[Figure, Axes]:
    """Draw values from `-reach` to `reach`, a column a feature."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, aspect="auto", cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    figure.colorbar(image, ax=axes, pad=pad, label=label)
    _mark_groups(axes, matrix.columns)
    return figure, axes


def _mark_groups(axes: Axes, features: pd.MultiIndex, *, vertical: bool = False) -> None:
    """Draw lines between the groups of features along an axis, and name them there."""
    sizes = features.get_level_values("group").value_counts(sort=False)
    ends = sizes.cumsum()
    for end in ends[:-1]:
        (axes.axhline if vertical else axes.axvline)(end - 0.5, color="black", linewidth=0.8)
    centres = ends - (sizes + 1) / 2
    if vertical:
        axes.set_yticks(centres, sizes.index)
    else:
        axes.set_xticks(centres, sizes.index, rotation=90)  # else the names of narrow groups overlap


def effect_figure(effects: pd.DataFrame) -> Figure:
    """Draw the features that differ most between emotions, with their other effects: `effects` from `effect_sizes`."""
    shown = effects.head(_SHOWN_EFFECTS)
    figure = Figure(figsize=(9.5, 0.3 * len(shown) + 1.8), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(shown))
    for factor, colour, marker in zip(EFFECT_FACTORS, _FACTOR_COLOURS, _FACTOR_MARKERS, strict=True):
        if factor not in effects:
            continue
        if factor == "emotion":
            axes.barh(places, shown[factor], color=colour, alpha=0.35, height=0.8)
        axes.plot(shown[factor], places, marker, color=colour, markersize=7, label=factor, clip_on=False)
    axes.set_yticks(places, shown["feature"] + " (" + shown["statistic"] + ")")
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set(xlim=(0, 1), xlabel="fraction of the variance that lies between the groups (η²)")
    axes.set(ylim=(len(shown) - 0.3, -0.7), title=f"The {len(shown)} features that differ most between emotions")
    axes.grid(axis="x", alpha=0.25)
    figure.legend(title="groups", loc="outside right upper")
    return figure


def embedding_figure(points: pd.DataFrame, recordings: pd.DataFrame, *, title: str) -> Figure:
    """Draw a map of the recordings twice, coloured by emotion and by speaker, small and pale so that crowds show.

    `points` has a row a recording and two columns, named as the axes.
    """
    figure = Figure(figsize=(15, 7.2), layout="constrained")
    speakers, emotions = sorted(set(recordings["speaker"])), list(recordings["emotion"].cat.categories)
    # Eight colours by three markers, which tell the 24 actors of RAVDESS apart, each the same in every figure.
    numbered = all(name.isdecimal() and len(name) == 2 for name in speakers)
    places = {name: int(name) - 1 if numbered else place for place, name in enumerate(speakers)}
    styles: dict[str, dict[Any, tuple[str, str]]] = {
        "emotion": {level: emotion_style(level, emotions) for level in emotions},
        "speaker": {speaker: (OKABE_ITO[place % 8], "o^s"[place // 8 % 3]) for speaker, place in places.items()},
    }
    for axes, (factor, of_levels) in zip(figure.subplots(1, 2), styles.items(), strict=True):
        entries = []
        for level, (colour, marker) in of_levels.items():
            x, y = points[recordings[factor] == level].to_numpy().T
            axes.scatter(x, y, s=22, c=colour, marker=marker, alpha=0.7, linewidths=0)
            entries.append(Line2D([], [], linestyle="", marker=marker, color=colour, markersize=7, label=f"{level}"))
        axes.set(title=f"coloured by {factor}", xlabel=points.columns[0], ylabel=points.columns[1])
        ncols = min(len(of_levels), 8)
        axes.legend(handles=entries, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=ncols, fontsize=9)
    figure.suptitle(f"{title} of {len(recordings):,} recordings (means and deviations of their features)")
    return figure
