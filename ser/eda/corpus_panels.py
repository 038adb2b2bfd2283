"""Figures of the recordings: counts, durations, and one example of each emotion."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ser.audio.io import read_sound
from ser.eda.palette import CHANNEL_COLOURS
from ser.features.extract import extract
from ser.features.settings import FeatureSettings, rows_of

_BIN = 0.1  # seconds
_SHOWN_PERCENT = 99  # of the MFCC within the colour scale, which a few large ones would stretch


def emotion_figure(recordings: pd.DataFrame) -> Figure:
    """Draw the number of recordings of each emotion, stacked by channel; `recordings` is a `name_table`."""
    emotions, channels = (list(recordings[factor].cat.categories) for factor in ("emotion", "channel"))
    counts = pd.crosstab(recordings["emotion"], recordings["channel"])
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    below = np.zeros(len(emotions), dtype=int)
    for channel in channels:
        heights = counts[channel].to_numpy()
        axes.bar(emotions, heights, bottom=below, color=CHANNEL_COLOURS[channel], label=channel, width=0.75)
        below += heights
        if len(channels) > 1:
            for place, (height, top) in enumerate(zip(heights, below, strict=True)):
                if height:
                    axes.text(place, top - height / 2, f"{height}", ha="center", va="center", color="white", fontsize=9)
    for place, total in enumerate(below):
        axes.text(place, total, f"{total}", ha="center", va="bottom", fontweight="bold")
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
    longest = recordings["seconds"].max()
    edges = np.arange(np.floor(recordings["seconds"].min() / _BIN), np.ceil(longest / _BIN) + 1) * _BIN
    channels = list(recordings["channel"].cat.categories)
    for channel in channels:
        seconds = recordings.loc[recordings["channel"] == channel, "seconds"]
        label = f"{channel}: {seconds.mean():.2f} ± {seconds.std(ddof=0):.2f} s"
        colour = CHANNEL_COLOURS[channel]
        histogram.hist(seconds, bins=edges, color=colour, alpha=0.6, edgecolor=colour, label=label)
    if window <= 1.1 * longest:
        label = f"the network's window, {window:.2f} s"
        histogram.axvline(window, color="black", linestyle="--", label=label)
        boxes.axhline(window, color="black", linestyle="--", linewidth=1)
    histogram.set(title="All recordings", xlabel=f"duration in s (bins of {_BIN} s)", ylabel="recordings")
    histogram.legend(title="mean ± standard deviation", fontsize=9, framealpha=1)
    _duration_boxes(boxes, recordings, channels)
    boxes.set(title="By emotion (box: quartiles, line: median)", ylabel="duration in s")
    for axes in (histogram, boxes):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Duration of {len(recordings):,} recordings")
    return figure


def _duration_boxes(axes: Axes, recordings: pd.DataFrame, channels: list[str]) -> None:
    emotions = list(recordings["emotion"].cat.categories)
    width = 0.7 / len(channels)
    for number, channel in enumerate(channels):
        seconds = recordings[recordings["channel"] == channel].groupby("emotion", observed=True)["seconds"]
        parts = {emotions.index(emotion): part.to_numpy() for emotion, part in seconds}
        shift = (number - (len(channels) - 1) / 2) * width
        axes.boxplot(
            list(parts.values()),
            positions=[place + shift for place in parts],
            widths=0.85 * width,
            patch_artist=True,
            boxprops={"facecolor": CHANNEL_COLOURS[channel]},
            medianprops={"color": "black"},
            flierprops={"marker": ".", "markersize": 3, "markerfacecolor": "0.4", "markeredgecolor": "0.4"},
            manage_ticks=False,
        )
    axes.set_xticks(range(len(emotions)), emotions)


def choose_examples(recordings: pd.DataFrame) -> pd.DataFrame:
    """Return one recording of each emotion: spoken if there is one, of the same actor and sentence where possible."""
    preferred = recordings.sort_values(
        ["channel", "actor", "intensity", "statement", "repetition"],
        ascending=[True, True, False, True, True],
        kind="stable",
    )
    return preferred.drop_duplicates("emotion").sort_values("emotion")


def example_figure(examples: pd.DataFrame, features: FeatureSettings) -> Figure:
    """Draw waveform, MFCC and mel spectrogram of the recordings that `choose_examples` chose, a row each.

    Raises
    ------
    AudioError : a recording cannot be read.
    """
    # Of the usual sizes: a picture is for people, whatever the features of the network are.
    drawn = FeatureSettings(
        sample_rate=features.sample_rate,
        n_fft=features.n_fft,
        hop_length=features.hop_length,
        groups=("mfcc", "mel"),
    )
    rows = rows_of(drawn)
    waveforms = [read_sound(path, sample_rate=drawn.sample_rate).waveform for path in examples["path"]]
    matrices = [extract(waveform, drawn) for waveform in waveforms]
    longest = max(map(len, waveforms)) / drawn.sample_rate
    loudest = max(np.abs(waveform).max() for waveform in waveforms)
    mels = [_decibels_below(matrix[rows["mel"]], max(m[rows["mel"]].max() for m in matrices)) for matrix in matrices]
    # Without the first coefficient, which is the loudness and ten times as large as the others.
    mfccs = [matrix[rows["mfcc"]][1:] for matrix in matrices]
    reach = np.percentile(np.abs(np.hstack(mfccs)), _SHOWN_PERCENT)

    figure = Figure(figsize=(14, 1.55 * len(examples) + 1.2), layout="constrained")
    grid = figure.subplots(len(examples), 3, squeeze=False, sharex=True)
    for line, (example, waveform, mfcc, mel) in enumerate(
        zip(examples.itertuples(), waveforms, mfccs, mels, strict=True)
    ):
        seconds = np.arange(len(waveform)) / drawn.sample_rate
        grid[line, 0].plot(seconds, waveform, color="#0072B2", linewidth=0.4)
        grid[line, 0].set_ylim(-loudest, loudest)
        grid[line, 0].set_ylabel(f"{example.emotion}\n({example.intensity})", fontweight="bold")
        extent = (0, mfcc.shape[1] * drawn.hop_length / drawn.sample_rate)
        cepstrum = _image(grid[line, 1], mfcc, extent, first=1, cmap="RdBu_r", vmin=-reach, vmax=reach)
        spectrum = _image(grid[line, 2], mel, extent, first=0, cmap="magma", vmin=-80, vmax=0)
    for axes, title in zip(grid[0], ("waveform (full scale: 1)", "MFCC, without the first", "mel bands"), strict=True):
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xlabel("time in s")
    grid[0, 0].set_xlim(0, longest)  # last, because each image sets the limits to its own length
    figure.colorbar(cepstrum, ax=grid[:, 1], aspect=60, pad=0.01, extend="both", label="coefficient in dB")
    figure.colorbar(spectrum, ax=grid[:, 2], aspect=60, pad=0.01, label="power in dB below the loudest of all")
    first = examples.iloc[0]
    speakers = "actor " + ", ".join(map(str, sorted(set(examples["actor"]))))
    figure.suptitle(f"One recording of each emotion ({speakers}; the first is {first['file']})")
    return figure


def _image(
    axes: Axes,
    values: NDArray[np.float32],
    extent: tuple[float, float],
    *,
    first: int,
    cmap: str,
    vmin: float,
    vmax: float,
) -> AxesImage:
    """Draw `values` [rows, frames] over time, with rows numbered from `first`; return it for the colour bar."""
    image = axes.imshow(
        values,
        extent=(*extent, first - 0.5, first + len(values) - 0.5),
        origin="lower",
        aspect="auto",
        cmap=cmap,
        vmin=vmin,
        vmax=vmax,
        interpolation="nearest",
    )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    return image


def _decibels_below(power: NDArray[np.float32], loudest: float) -> NDArray[np.float32]:
    return 10 * np.log10(np.maximum(power / loudest, 1e-8))
