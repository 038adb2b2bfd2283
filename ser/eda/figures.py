"""The figures of the recordings: counts, durations, examples; each fits a phone (`ser.evaluation.svg.TILE`)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ser.audio.io import read_sound
from ser.eda.boxes import draw_box, name_rows
from ser.eda.labels import mel_band_labels, mel_centres
from ser.eda.palette import CHANNEL_COLOURS
from ser.evaluation.figures import DIVERGING, SMALL_TEXT
from ser.evaluation.svg import TILE, tell, tell_values
from ser.features.extract import extract
from ser.features.settings import FeatureSettings

_BINS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds
_MOST_BINS = 50
_SHOWN_PERCENT = 99  # of the MFCC within the colour scale, which a few large ones would stretch
_FLOOR_DB = -80
_STEPS = (1, 2, 5, 10)  # from a tick to the next, where recordings are counted
_HZ_TICKS = (100, 500, 1000, 2000, 5000, 10_000, 20_000)


def emotion_figure(recordings: pd.DataFrame) -> Figure:
    """Draw the number of recordings of each emotion, stacked by channel; `recordings` is a `name_table`."""
    counts = pd.crosstab(recordings["emotion"], recordings["channel"])
    emotions, totals = [str(name) for name in counts.index], counts.sum(axis=1).to_numpy()
    figure = Figure(figsize=(TILE, 0.3 * len(emotions) + 1.5), layout="constrained")
    axes = figure.subplots()
    before = np.zeros(len(counts), dtype=int)
    for channel, column in counts.items():
        lengths = column.to_numpy()
        bars = axes.barh(
            range(len(emotions)), lengths, left=before, color=CHANNEL_COLOURS[channel], label=channel, height=0.75
        )
        before += lengths
        for bar, emotion, length in zip(bars, emotions, lengths, strict=True):
            tell(bar, [f"{emotion}, {channel}: {length:,} recordings, {length / len(recordings):.1%} of all"])
        if counts.shape[1] > 1:
            within = [f"{n:,}" if n > 0.12 * totals.max() else "" for n in lengths]
            axes.bar_label(bars, within, label_type="center", color="white", fontsize=SMALL_TEXT)
    name_rows(axes, emotions)
    for place, total in enumerate(totals):
        axes.annotate(f"{total:,}", (total, place), (3, 0), textcoords="offset points", va="center", fontweight="bold")
    axes.set(title=f"{len(recordings):,} recordings", xlabel="recordings", xlim=(0, totals.max()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, steps=_STEPS))
    figure.legend(loc="outside lower center", ncols=counts.shape[1], frameon=False)
    return figure


def duration_figure(recordings: pd.DataFrame, *, window: float) -> Figure:
    """Draw how many recordings of `read_headers` last how long, and where `window` s cut them."""
    shortest, longest = recordings["seconds"].min(), recordings["seconds"].max()
    step = next((one for one in _BINS if longest - shortest <= _MOST_BINS * one), _BINS[-1])
    edges = np.arange(np.floor(shortest / step), np.floor(longest / step) + 2) * step
    figure = Figure(figsize=(TILE, 3.6), layout="constrained")
    axes = figure.subplots()
    for channel, part in recordings.groupby("channel", observed=True):
        colour, seconds = CHANNEL_COLOURS[channel], part["seconds"]
        label = f"{channel}: mean {seconds.mean():.2f} s, standard deviation {seconds.std(ddof=0):.2f} s"
        counts, _ = np.histogram(seconds, edges)
        bars = axes.bar(edges[:-1], counts, step, align="edge", color=colour, alpha=0.6, edgecolor=colour, label=label)
        for bar, count, low in zip(bars, counts, edges[:-1], strict=True):
            tell(bar, [f"{low:.1f} to {low + step:.1f} s: {count:,.0f} recordings of {channel}"])
    ends = _mark_window(axes, edges[[0, -1]], window, label=f"the network's window, {window:.2f} s")
    axes.set(title="All recordings", xlabel=f"duration in s (bins of {step:g} s)", ylabel="recordings", xlim=ends)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=_STEPS))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower left", fontsize=SMALL_TEXT, frameon=False)
    return figure


def duration_by_emotion_figure(recordings: pd.DataFrame, *, window: float) -> Figure:
    """Draw how long the recordings of each emotion last, a box a channel, and where `window` s cut them."""
    emotions = list(recordings["emotion"].cat.categories)
    channels = list(recordings.groupby("channel", observed=True))
    figure = Figure(figsize=(TILE, 0.34 * len(emotions) + 1.1), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(channels)
    for number, (channel, part) in enumerate(channels):
        offset = (number - (len(channels) - 1) / 2) * height
        named = part.set_index("file")
        for emotion, seconds in named.groupby("emotion", observed=True)["seconds"]:
            place, label = emotions.index(emotion) + offset, f"{emotion}, {channel}"
            draw_box(
                axes, seconds, place, CHANNEL_COLOURS[channel], height=0.85 * height, label=label,
                form=lambda value: f"{value:.2f} s",
            )  # fmt: skip
    name_rows(axes, emotions)
    shortest, longest = recordings["seconds"].min(), recordings["seconds"].max()
    margin = 0.02 * (longest - shortest) or 0.1
    ends = _mark_window(axes, np.array([shortest - margin, longest + margin]), window)
    axes.set(title="By emotion", xlabel="duration in s", xlim=ends)
    return figure


def _mark_window(
    axes: Axes, ends: NDArray[np.float64], window: float, *, label: str | None = None
) -> tuple[float, float]:
    """Draw the window where it is not far behind the longest recording, and return where the axis begins and ends."""
    low, high = map(float, ends)
    if not low <= window <= 1.1 * high:
        return low, high
    axes.axvline(window, color="black", linestyle="--", linewidth=1.2, label=label)
    return low, max(high, window)


def example_recordings(recordings: pd.DataFrame) -> pd.DataFrame:
    """Return one recording of each emotion: spoken if there is speech, of the same speaker and sentence if possible."""
    by = ["channel", "speaker", "intensity", "statement", "repetition"]
    preferred = recordings.sort_values(by, ascending=[True, True, False, True, True], kind="stable")
    return preferred.drop_duplicates("emotion").sort_values("emotion")


def example_figures(examples: pd.DataFrame, features: FeatureSettings) -> list[Figure]:
    """Draw waveform, MFCC and mel spectrogram of each of `example_recordings`, on the same scales.

    Raises
    ------
    AudioError : a recording cannot be read.
    """
    # Of the usual sizes: a picture is for people, whatever the features of the network are.
    rate, hop = features.sample_rate, features.hop_length
    drawn = FeatureSettings(sample_rate=rate, n_fft=features.n_fft, hop_length=hop, groups=("mfcc", "mel"))
    waveforms = [read_sound(path, sample_rate=rate).waveform for path in examples["path"]]
    matrices = [np.split(extract(waveform, drawn), [drawn.n_mfcc]) for waveform in waveforms]
    # Without the first coefficient, which is the loudness and ten times as large as the others.
    mfccs, loudest = [mfcc[1:] for mfcc, _ in matrices], max(power.max() for _, power in matrices)
    mels = [10 * np.log10(np.maximum(power / loudest, 10 ** (_FLOOR_DB / 10))) for _, power in matrices]
    reach = float(np.percentile(np.abs(np.hstack(mfccs)), _SHOWN_PERCENT))
    peak = float(max(np.abs(waveform).max() for waveform in waveforms)) or 1.0

    found = []
    for title, waveform, mfcc, mel in zip(map(_title, examples.itertuples()), waveforms, mfccs, mels, strict=True):
        figure = Figure(figsize=(TILE, 4.4), layout="constrained")
        grid = figure.subplots(3, 2, width_ratios=(30, 1), height_ratios=(2, 3, 4))
        (wave, blank), (cepstrum, cepstrum_bar), (spectrum, spectrum_bar) = grid
        blank.set_axis_off()
        _draw_waveform(wave, waveform, hop=hop, rate=rate, peak=peak)
        wave.set_title(title, fontsize=11, fontweight="bold")
        times = [f"{frame * hop / rate:.2f} s" for frame in range(mfcc.shape[1])]
        images = (
            (cepstrum, cepstrum_bar, mfcc, {"cmap": DIVERGING, "vmin": -reach, "vmax": reach}, 1, "both"),
            (spectrum, spectrum_bar, mel, {"cmap": "magma", "vmin": _FLOOR_DB, "vmax": 0}, 0, "neither"),
        )
        names = ([f"MFCC {row}" for row in range(1, drawn.n_mfcc)], mel_band_labels(drawn))
        for (axes, bar, values, colours, first, extend), rows in zip(images, names, strict=True):
            extent = (0, len(waveform) / rate, first - 0.5, first + len(values) - 0.5)
            image = axes.imshow(values, extent=extent, origin="lower", aspect="auto", interpolation="none", **colours)
            tell_values(image, rows, times, text="{row} at {column}: {value} dB", digits=0)
            figure.colorbar(image, cax=bar, extend=extend, extendfrac=0.04)
            bar.set_ylabel("dB", fontsize=SMALL_TEXT)
        cepstrum.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        cepstrum.set_ylabel("MFCC")
        _mark_hz(spectrum, mel_centres(drawn))
        spectrum.set_xlabel("time in s")
        for axes in (wave, cepstrum):
            axes.tick_params(labelbottom=False)
        for axes in grid.ravel():
            axes.tick_params(labelsize=SMALL_TEXT)
        found.append(figure)
    return found


def _title(example: object) -> str:
    emotion, intensity = getattr(example, "emotion", ""), getattr(example, "intensity", None)
    return f"{emotion} ({intensity})" if isinstance(intensity, str) else str(emotion)


def _draw_waveform(axes: Axes, waveform: NDArray[np.float32], *, hop: int, rate: int, peak: float) -> None:
    """Draw the least and the largest sample of each hop: a page need not hold every sample."""
    starts = np.arange(0, len(waveform), hop)
    low, high = np.minimum.reduceat(waveform, starts), np.maximum.reduceat(waveform, starts)
    axes.fill_between(starts / rate, low, high, color="#0072B2", linewidth=0.6)
    axes.set(xlim=(0, len(waveform) / rate), ylim=(-peak, peak), ylabel="waveform")


def _mark_hz(axes: Axes, centres: NDArray[np.float64]) -> None:
    """Label an axis of mel bands, whose numbers say nothing, with frequencies."""
    shown = [hz for hz in _HZ_TICKS if centres[0] <= hz <= centres[-1]]
    axes.set_yticks(np.interp(shown, centres, np.arange(len(centres))), [f"{hz:,}" for hz in shown])
    axes.set_ylabel("mel bands in Hz")
