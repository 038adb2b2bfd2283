"""Box plots, whose boxes and outliers tell their values on a page."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ser.evaluation.svg import tell


def draw_box(
    axes: Axes, values: pd.Series, place: float, colour: str, *, height: float, label: str, form: Callable[[float], str]
) -> None:
    """Draw a horizontal box: quartiles and median, whiskers to the last value within 1.5 times the box, outliers.

    Parameters
    ----------
    values : their index names the recordings.
    place, height : of the box on the vertical axis.
    form : writes a value with its unit.
    """
    flier = {"marker": "o", "markersize": 3, "markerfacecolor": "0.5", "markeredgewidth": 0}
    drawn = axes.boxplot(
        values, positions=[place], widths=height, patch_artist=True, boxprops={"facecolor": colour},
        orientation="horizontal", medianprops={"color": "white", "linewidth": 2}, flierprops=flier, manage_ticks=False,
    )  # fmt: skip
    low, median, high = np.percentile(values, [25, 50, 75])
    told = f"{label}: median {form(median)}, quartiles {form(low)} and {form(high)}, {len(values):,} recordings"
    tell(drawn["boxes"][0], [told])
    outliers = drawn["fliers"][0].get_xdata()
    beyond = values[values.isin(outliers)]
    names = {value: ", ".join(same.index) for value, same in beyond.groupby(beyond)}
    tell(drawn["fliers"][0], [f"{label}: {form(value)}, {names[value]}" for value in outliers])


def name_rows(axes: Axes, names: list[str]) -> None:
    """Name the rows of boxes or bars from the top, without a frame round them."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
