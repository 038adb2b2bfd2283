"""Figures of results. They use matplotlib's objects and never pyplot, whose open figures are state of the process."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import ArrayLike
from PIL import Image

from ser.data.files import replace_when_complete
from ser.evaluation.metrics import ReliabilityBin
from ser.evaluation.svg import tell, tell_cells

_DPI = 120
SMALL_TEXT = 9
"""Points of the smallest text: 12 px on a page."""
# Blue and vermilion of Okabe and Ito's palette, which colour-blind readers tell apart.
_TRAINING: dict[str, Any] = {"color": "#0072B2", "linestyle": "--"}
_VALIDATION: dict[str, Any] = {"color": "#D55E00", "linestyle": "-"}
_PALE = {"alpha": 0.5, "linewidth": 1.2}
# From nothing to the colour, so that the paper shows through, be it white or dark.
_BLUES = LinearSegmentedColormap.from_list("blues", [(0, 0.447, 0.698, 0), (0, 0.447, 0.698, 1)])
DIVERGING = LinearSegmentedColormap.from_list(
    "blue_red",
    [(0, (0.08, 0.35, 0.66, 1)), (0.5, (0.2, 0.5, 0.85, 0)), (0.5, (0.85, 0.3, 0.2, 0)), (1, (0.78, 0.15, 0.12, 1))],
)
"""For values around zero, where the paper shows through."""
CURVES: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "Loss": [("train/loss", "training", _TRAINING), ("val/loss", "validation", _VALIDATION)],
    "Accuracy and UAR": [
        ("train/accuracy", "training accuracy", _TRAINING),
        ("train/uar", "training UAR", _TRAINING | _PALE),
        ("val/accuracy", "validation accuracy", _VALIDATION),
        ("val/uar", "validation UAR", _VALIDATION | _PALE),
    ],
    "Learning rate": [("lr", "learning rate", {"color": "black"})],
}
"""Panel of the learning curve -> its lines: key of the history, label, style."""


def confusion_figure(confusion: ArrayLike, class_names: Sequence[str], *, title: str, cell: float = 0.85) -> Figure:
    """Draw a confusion matrix, coloured by the fraction of the true class.

    Each cell shows its count and its fraction of the row in percent, so the diagonal shows the recall of each class.
    The row labels give the number of recordings. A class without recordings has an uncoloured row.

    Parameters
    ----------
    confusion : integer [classes, classes], rows true, columns predicted.
    class_names : in the order of the matrix.
    cell : width of a cell in inches. Below 0.8 there is no colour bar, and below 0.45 no count and no "%", so that
        the text can still be read where the figure is shown a few centimetres wide. On a page, each cell tells both.
    """
    counts = np.asarray(confusion)
    support = counts.sum(axis=1, keepdims=True)
    fractions = counts / np.maximum(support, 1)
    places = range(len(class_names))

    has_bar, has_counts = cell >= 0.8, cell >= 0.45
    side = max(4.0 if has_bar else 2.5, cell * len(class_names))
    figure = _new_figure(width=side + (2.4 if has_bar else 1.1), height=side + (1.1 if has_bar else 0.9))
    axes = figure.subplots()
    # Cells need not be exactly square: only then does the layout fit axes, labels and colour bar to each other.
    image = axes.imshow(fractions, cmap=_BLUES, vmin=0, vmax=1, aspect="auto", interpolation="none")
    tell_cells(
        image,
        [
            [
                f"{true}, predicted {predicted}: {counts[row, column]} of {support[row, 0]} "
                f"({fractions[row, column]:.1%})"
                for column, predicted in enumerate(class_names)
            ]
            for row, true in enumerate(class_names)
        ],
    )
    for (row, column), count in np.ndenumerate(counts):
        fraction = fractions[row, column]
        text = f"{count}\n{fraction:.0%}" if has_counts and count else f"{100 * fraction:.0f}" if count else "0"
        colour = "white" if fraction > 0.9 else "black"  # either has a contrast above 4.5
        weight = "bold" if row == column and has_counts else "normal"  # bold would not fit a narrow cell
        axes.text(
            column, row, text, ha="center", va="center", fontsize=SMALL_TEXT, fontweight=weight, color=colour,
            alpha=None if count else 0.6,
        ).set_in_layout(False)  # fmt: skip
    axes.set_xticks(places, class_names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, [f"{name} ({n})" for name, n in zip(class_names, support[:, 0], strict=True)])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted", ylabel="true (recordings)")
    if not has_counts:
        axes.set_xlabel("predicted (percent of the true class)", fontsize=SMALL_TEXT)
    axes.set_title("\n".join(textwrap.fill(line, width=int(10.5 * side)) for line in title.splitlines()), fontsize=11)
    if has_bar:
        bar = figure.colorbar(image, ax=axes, fraction=0.05, aspect=25, pad=0.02, format=PercentFormatter(xmax=1))
        bar.set_label("fraction of the true class (diagonal: recall)")
    return figure


def learning_curve_figure(
    history: Sequence[Mapping[str, float]], panels: Sequence[str] = tuple(CURVES), *, panel_width: float = 14 / 3
) -> Figure:
    """Draw loss, accuracy and UAR, and learning rate over the epochs, and mark the epoch of lowest validation loss.

    Epochs that were not validated have a gap; where none was, nothing is marked.

    Parameters
    ----------
    history : one mapping an epoch, at least one, with the keys "epoch" (integer), "train/loss", "val/loss",
        "train/accuracy", "val/accuracy", "train/uar", "val/uar" (fractions in [0, 1]) and "lr"; what was never
        measured may be missing.
    panels : those of `CURVES` to draw, side by side.
    panel_width : inches.

    Raises
    ------
    ValueError : the history is empty.
    """
    if not history:
        raise ValueError("the history is empty: there is no epoch to draw.")
    table = pd.DataFrame(history)
    epochs, best = table["epoch"], None
    if "val/loss" in table:
        best = table.sort_values("val/loss", kind="stable")["epoch"].iloc[0]  # a loss that is not a number is put last

    figure = _new_figure(width=panel_width * len(panels), height=0.75 * panel_width + 1.1)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for title, axes in zip(panels, all_axes, strict=True):
        shown = [(*line, table[["epoch", line[0]]].dropna()) for line in CURVES[title] if line[0] in table]
        for key, label, style, points in shown:
            _draw_curve(axes, points["epoch"], points[key], label=label, style=style)
        axes.set(title=title)
        _set_scale(axes, title, [value for key, *_, points in shown for value in points[key]])
        if best is not None:
            axes.axvline(best, color="0.5", linestyle=":", zorder=0, label=f"lowest validation loss (epoch {best})")
        axes.set_xlabel("epoch")
        one = 0.5 * (len(epochs) == 1)  # a single epoch has no span of its own
        axes.set_xlim(min(epochs) - one, max(epochs) + one)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:  # else nothing of this panel was measured
            # Below the curves, which it would cover.
            axes.legend(fontsize=SMALL_TEXT, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2))
    return figure


def _draw_curve(axes: Axes, epochs: pd.Series, values: pd.Series, *, label: str, style: Any) -> None:
    """Draw a line, and on it points that tell their value and are seen under the pointer only, but for a single one."""
    axes.plot(epochs, values, label=label, marker="o" if len(values) == 1 else "", clip_on=False, **style)
    (points,) = axes.plot(epochs, values, "o", color=style["color"], markeredgewidth=0, alpha=0, clip_on=False)
    form = ".1%" if label.endswith(("accuracy", "UAR")) else ".3g"
    tell(points, [f"epoch {epoch:.0f}, {label}: {value:{form}}" for epoch, value in zip(epochs, values, strict=True)])


def _set_scale(axes: Axes, panel: str, values: Sequence[float]) -> None:
    """Set the vertical axis of a panel with those values."""
    if panel == "Accuracy and UAR":
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    elif panel == "Loss":
        axes.set_ylabel("cross-entropy")
    elif values and min(values) > 0:
        if max(values) <= min(values) * (1 + 1e-9):  # constant but for rounding: too narrow a span for an axis
            axes.set_ylim(min(values) / 10, max(values) * 10)
        axes.set_yscale("log")
        # Not as powers of ten, whose exponents are small.
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def reliability_figure(bins: Mapping[str, Sequence[ReliabilityBin]], *, title: str, width: float = 5.6) -> Figure:
    """Draw the accuracy of predictions over their confidence, and below it their number.

    Parameters
    ----------
    bins : the label of a set of probabilities -> its `ser.evaluation.metrics.reliability_bins`; two sets at most.
    width : inches, of a figure that is as high.
    """
    figure = _new_figure(width=width, height=width)
    accuracy, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    accuracy.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="perfectly calibrated")
    for (label, of_set), style in zip(bins.items(), (_TRAINING, _VALIDATION), strict=False):
        table = pd.DataFrame(of_set)
        filled = table[table["n"] > 0]
        (points,) = accuracy.plot(
            filled["confidence"], filled["accuracy"], marker="o", label=label, clip_on=False, **style
        )
        tell(
            points,
            [
                f"{label}: accuracy {row.accuracy:.1%} at a confidence of {row.confidence:.1%}, {row.n} predictions"
                for row in filled.itertuples()
            ],
        )
        counts.stairs(table["n"], [0, *table["high"]], label=label, **style)
    accuracy.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    counts.set(xlabel="confidence", ylabel="predictions", ylim=(0, None))
    counts.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    for axis in (accuracy.xaxis, accuracy.yaxis):
        axis.set_major_formatter(PercentFormatter(xmax=1))
    accuracy.legend(fontsize=SMALL_TEXT)
    for axes in (accuracy, counts):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    accuracy.set_title(
        "\n".join(textwrap.fill(line, width=int(11.5 * width)) for line in title.splitlines()), fontsize=11
    )
    return figure


def save_figure(figure: Figure, path: Path, *, colours: int | None = None) -> None:
    """Write `figure` to `path` as PNG, whole or not at all.

    Parameters
    ----------
    colours : reduce it to so many, at most 256, which makes a file several times smaller; None keeps all.

    Raises
    ------
    OSError : the file cannot be written; it names it.
    """
    with replace_when_complete(path) as temporary:
        if colours is None:
            figure.savefig(temporary, format="png", dpi=_DPI)
            return
        whole = io.BytesIO()
        figure.savefig(whole, format="png", dpi=_DPI)
        with Image.open(whole) as image:
            image.convert("RGB").quantize(colours).save(temporary, format="png", optimize=True)


def _new_figure(*, width: float, height: float) -> Figure:
    """Return an empty figure of `width` x `height` inches, drawn without a display and laid out without overlaps."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
