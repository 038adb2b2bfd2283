"""The tables of the analysis: counts, durations, means, effect sizes, correlations."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ser.eda.observations import LEVELS, Observations
from ser.features.settings import feature_names, rows_of

EFFECT_FACTORS = ("emotion", "actor", "gender", "channel", "intensity")


def label_distribution(recordings: pd.DataFrame) -> pd.DataFrame:
    """Return, a row per emotion: emotion, a count for each channel, all, and fraction (of all recordings)."""
    counts = pd.crosstab(recordings["emotion"], recordings["channel"])
    counts.columns = list(counts.columns)
    counts["all"] = counts.sum(axis=1)
    counts["fraction"] = counts["all"] / len(recordings)
    return counts.rename_axis("emotion").reset_index().astype({"emotion": str})


def corpus_summary(recordings: pd.DataFrame) -> pd.DataFrame:
    """Return the corpus in numbers, a row per statistic, a column for "all" and each channel; seconds and Hz."""
    parts = {"all": recordings} | {
        channel: recordings[recordings["channel"] == channel] for channel in recordings["channel"].cat.categories
    }
    summary = pd.DataFrame({part: _part_summary(of_part) for part, of_part in parts.items()})
    return summary.rename_axis("statistic").reset_index()


def _part_summary(recordings: pd.DataFrame) -> dict[str, float]:
    seconds = recordings["seconds"]
    of_emotions = recordings["emotion"].value_counts()
    of_emotions = of_emotions[of_emotions > 0]
    return {
        "recordings": len(recordings),
        "actors": recordings["actor"].nunique(),
        "emotions": len(of_emotions),
        "recordings_of_rarest_emotion": of_emotions.min(),
        "recordings_of_commonest_emotion": of_emotions.max(),
        "recordings_by_women": (recordings["gender"] == "female").sum(),
        "recordings_by_men": (recordings["gender"] == "male").sum(),
        "stereo_recordings": (recordings["n_channels"] > 1).sum(),
        "sample_rate_min_hz": recordings["sample_rate"].min(),
        "sample_rate_max_hz": recordings["sample_rate"].max(),
        "seconds_total": seconds.sum(),
        "seconds_mean": seconds.mean(),
        "seconds_std": seconds.std(ddof=0),
        "seconds_min": seconds.min(),
        "seconds_median": seconds.median(),
        "seconds_max": seconds.max(),
    }


def mean_features(observations: Observations) -> dict[str, pd.DataFrame]:
    """Return a table for each group of features: the mean of the recordings' means, mel in decibels.

    Each has a row for all recordings, then one for each emotion, channel, intensity and gender, and the columns
    factor, level, recordings (how many) and the features of the group.
    """
    names = feature_names(observations.features)
    means = pd.DataFrame(observations.means, columns=list(names))
    parts = [("all", "all", means)]
    for factor in LEVELS:
        parts += [
            (factor, level, part) for level, part in means.groupby(observations.recordings[factor], observed=True)
        ]
    table = pd.DataFrame(
        {"factor": factor, "level": level, "recordings": len(part), **part.mean()} for factor, level, part in parts
    )
    return {
        group: table[["factor", "level", "recordings", *names[rows]]]
        for group, rows in rows_of(observations.features).items()
    }


def eta_squared(values: NDArray[np.float64], labels: ArrayLike) -> NDArray[np.float64]:
    """Return the fraction of each column's variance that lies between the groups of `labels`.

    Sum of squares between groups over total sum of squares of a one-way analysis of variance (Richardson 2011,
    doi:10.1016/j.edurev.2010.12.001). Groups without an effect give about `(groups - 1) / (observations - 1)`.

    Parameters
    ----------
    values : float64 [observations, columns].
    labels : [observations].

    Returns
    -------
    float64 [columns], in [0, 1]; NaN where a column is constant.
    """
    _, codes, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    centred = values - values.mean(axis=0)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, codes, centred)
    between = np.sum(sums**2 / counts[:, None], axis=0)
    total = np.sum(centred**2, axis=0)
    constant = np.ptp(values, axis=0) == 0  # the total of equal values is a rounding error, not always 0
    return np.divide(between, total, out=np.full(len(total), np.nan), where=~constant)


def effect_sizes(observations: Observations) -> pd.DataFrame:
    """Return the eta squared of every mean and deviation, the largest of emotion first.

    The columns are feature, group, statistic ("mean" or "deviation", over the frames of a recording), and the eta
    squared of emotion, actor, gender, channel and intensity, as far as these take more than one value.
    """
    settings, recordings = observations.features, observations.recordings
    factors = [factor for factor in EFFECT_FACTORS if recordings[factor].nunique() > 1]
    groups = [group for group, rows in rows_of(settings).items() for _ in range(rows.start, rows.stop)]
    parts = [
        pd.DataFrame(
            {
                "feature": feature_names(settings),
                "group": groups,
                "statistic": statistic,
                **{factor: eta_squared(values, recordings[factor].astype(str)) for factor in factors},
            }
        )
        for statistic, values in (("mean", observations.means), ("deviation", observations.deviations))
    ]
    by = "emotion" if "emotion" in factors else "feature"
    return pd.concat(parts).sort_values(by, ascending=False, kind="stable", ignore_index=True)


def correlations(observations: Observations) -> NDArray[np.float64]:
    """Return Pearson's correlation of the recordings' means, float64 [features, features]; NaN for constant ones."""
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.corrcoef(observations.means, rowvar=False)
    constant = np.ptp(observations.means, axis=0) == 0
    matrix = np.atleast_2d(matrix)
    matrix[constant] = matrix[:, constant] = np.nan
    return matrix


def group_correlations(observations: Observations) -> pd.DataFrame:
    """Return the mean absolute correlation within and between groups of features, a row and a column per group.

    A feature's correlation with itself is left out; NaN for a group of one feature with itself.
    """
    matrix = np.abs(correlations(observations))
    np.fill_diagonal(matrix, np.nan)
    rows = rows_of(observations.features)
    blocks = {column: {row: _mean_of_known(matrix[rows[row], rows[column]]) for row in rows} for column in rows}
    return pd.DataFrame(blocks).rename_axis("group").reset_index()


def _mean_of_known(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
