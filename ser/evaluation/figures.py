"""Figures of results. They use matplotlib's objects and never pyplot, whose open figures are state of the process."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike
from PIL import Image

from ser.data.files import replace_when_complete
from ser.evaluation.metrics import ReliabilityBin

_DPI = 120
# Blue and vermilion of Okabe and Ito's palette, which colour-blind readers tell apart.
_TRAINING: dict[str, Any] = {"color": "#0072B2", "linestyle": "--"}
_VALIDATION: dict[str, Any] = {"color": "#D55E00", "linestyle": "-"}
_PALE = {"alpha": 0.5, "linewidth": 1.2}
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
_AXES: dict[str, dict[str, Any]] = {
    "Loss": {"ylabel": "cross-entropy"},
    "Accuracy and UAR": {"ylim": (0, 1.02)},
    "Learning rate": {"yscale": "log"},
}


def confusion_figure(confusion: ArrayLike, class_names: Sequence[str], *, title: str, cell: float = 0.85) -> Figure:
    """Draw a confusion matrix, coloured by the fraction of the true class.

    Each cell shows its count and its fraction of the row in percent, so the diagonal shows the recall of each class.
    The row labels give the number of recordings. A class without recordings has an uncoloured row.

    Parameters
    ----------
    confusion : integer [classes, classes], rows true, columns predicted.
    class_names : in the order of the matrix.
    cell : width of a cell in inches. Below 0.8 there is no colour bar, and below 0.45 no count, so that the text can
        still be read where the figure is shown a few centimetres wide.
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
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        fraction = fractions[row, column]
        text = f"{count}\n{fraction:.0%}" if has_counts and count else f"{fraction:.0%}" if count else "0"
        colour = "white" if fraction > 0.7 else "black" if count else "0.6"
        weight = "bold" if row == column else "normal"
        axes.text(
            column, row, text, ha="center", va="center", fontsize=9 if has_bar else 8, fontweight=weight, color=colour
        )
    axes.set_xticks(places, class_names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, [f"{name} ({n})" for name, n in zip(class_names, support[:, 0], strict=True)])
    axes.tick_params(length=0)
    axes.set(xlabel="predicted", ylabel="true (recordings)")
    axes.set_title("\n".join(textwrap.fill(line, width=int(10.5 * side)) for line in title.splitlines()), fontsize=11)
    if has_bar:
        bar = figure.colorbar(image, ax=axes, fraction=0.05, aspect=25, pad=0.02, format=PercentFormatter(xmax=1))
        bar.set_label("fraction of the true class (diagonal: recall)")
    return figure


def learning_curve_figure(history: Sequence[Mapping[str, float]], panels: Sequence[str] = tuple(CURVES)) -> Figure:
    """Draw loss, accuracy and UAR, and learning rate over the epochs, and mark the epoch of lowest validation loss.

    Epochs that were not validated have a gap; where none was, nothing is marked.

    Parameters
    ----------
    history : one mapping an epoch, at least one, with the keys "epoch" (integer), "train/loss", "val/loss",
        "train/accuracy", "val/accuracy", "train/uar", "val/uar" (fractions in [0, 1]) and "lr"; what was never
        measured may be missing.
    panels : those of `CURVES` to draw, side by side.

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

    figure = _new_figure(width=14 / 3 * len(panels), height=4.2)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for title, axes in zip(panels, all_axes, strict=True):
        for key, label, style in CURVES[title]:
            if key in table:
                points = table[["epoch", key]].dropna()  # an epoch that was not validated would break the line
                marker = "o" if len(points) == 1 else ""  # one point makes no line
                axes.plot(points["epoch"], points[key], label=label, marker=marker, **style)
        axes.set(title=title, **_AXES[title])
        if title == "Accuracy and UAR":
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        if best is not None:
            axes.axvline(best, color="0.5", linestyle=":", zorder=0, label=f"lowest validation loss (epoch {best})")
        axes.set_xlabel("epoch")
        axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)  # a single epoch has no span of its own
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    return figure


def reliability_figure(bins: Mapping[str, Sequence[ReliabilityBin]], *, title: str) -> Figure:
    """Draw the accuracy of predictions over their confidence, and below it their number.

    Parameters
    ----------
    bins : the label of a set of probabilities -> its `ser.evaluation.metrics.reliability_bins`; two sets at most.
    """
    figure = _new_figure(width=5.6, height=5.6)
    accuracy, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    accuracy.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="perfectly calibrated")
    for (label, of_set), style in zip(bins.items(), (_TRAINING, _VALIDATION), strict=False):
        table = pd.DataFrame(of_set)
        filled = table[table["n"] > 0]
        accuracy.plot(filled["confidence"], filled["accuracy"], marker="o", label=label, **style)
        counts.stairs(table["n"], [0, *table["high"]], label=label, **style)
    accuracy.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    counts.set(xlabel="confidence", ylabel="predictions")
    for axis in (accuracy.xaxis, accuracy.yaxis):
        axis.set_major_formatter(PercentFormatter(xmax=1))
    accuracy.legend(fontsize=8)
    for axes in (accuracy, counts):
        axes.grid(alpha=0.25)
    accuracy.set_title("\n".join(textwrap.fill(line, width=64) for line in title.splitlines()), fontsize=11)
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
