"""The tables of the analysis: counts, durations, means, effect sizes, correlations."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ser.eda.observations import LEVELS, Observations
from ser.features.settings import FeatureSettings, feature_names, rows_of

EFFECT_FACTORS = ("emotion", "actor", "gender", "channel", "intensity")
LEVEL_COLUMNS = ("factor", "level", "recordings")


def label_distribution(recordings: pd.DataFrame) -> pd.DataFrame:
    """Return, a row per emotion: emotion, a count for each channel, all, and fraction (of all recordings)."""
    counts = pd.crosstab(recordings["emotion"].astype(str), recordings["channel"].astype(str))
    counts = counts.reindex(index=recordings["emotion"].cat.categories, columns=recordings["channel"].cat.categories)
    counts = counts.assign(all=counts.sum(axis=1), fraction=counts.sum(axis=1) / len(recordings))
    return counts.rename_axis(index="emotion", columns=None).reset_index()


def corpus_summary(recordings: pd.DataFrame) -> pd.DataFrame:
    """Return the corpus in numbers, a row per statistic, a column for "all" and each channel; seconds and Hz."""
    parts = [("all", recordings), *recordings.groupby("channel", observed=True)]
    summary = pd.DataFrame({part: _part_summary(of_part) for part, of_part in parts})
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


def mean_features(observations: Observations) -> pd.DataFrame:
    """Return the mean of the recordings' means, mel in decibels.

    A row for all recordings, then one for each emotion, channel, intensity and gender. The columns are
    `LEVEL_COLUMNS` (recordings: how many) and the features.
    """
    means = pd.DataFrame(observations.means, columns=list(feature_names(observations.features)))
    parts = [("all", "all", means)]
    for factor in LEVELS:
        groups = means.groupby(observations.recordings[factor], observed=True)
        parts += [(factor, level, part) for level, part in groups]
    return pd.DataFrame(
        dict(zip(LEVEL_COLUMNS, (factor, level, len(part)), strict=True)) | dict(part.mean())
        for factor, level, part in parts
    )


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
    columns = pd.DataFrame(values)
    centred = columns - columns.mean()
    between = (centred.groupby(np.asarray(labels)).transform("mean") ** 2).sum()
    # The variance of equal values is a rounding error, not always 0.
    found: NDArray[np.float64] = (between / (centred**2).sum()).where(columns.nunique() > 1).to_numpy()
    return found


def effect_sizes(observations: Observations) -> pd.DataFrame:
    """Return the eta squared of every mean and deviation, the largest of emotion first.

    The columns are feature, group, statistic ("mean" or "deviation", over the frames of a recording), and the eta
    squared of emotion, actor, gender, channel and intensity, as far as these take more than one value.
    """
    settings, recordings = observations.features, observations.recordings
    factors = [factor for factor in EFFECT_FACTORS if recordings[factor].nunique() > 1]
    groups = [group for group, rows in rows_of(settings).items() for _ in range(rows.start, rows.stop)]
    parts = []
    for statistic, values in (("mean", observations.means), ("deviation", observations.deviations)):
        part = pd.DataFrame({"feature": feature_names(settings), "group": groups, "statistic": statistic})
        parts.append(part.assign(**{factor: eta_squared(values, recordings[factor].astype(str)) for factor in factors}))
    by = "emotion" if "emotion" in factors else "feature"
    return pd.concat(parts).sort_values(by, ascending=False, kind="stable", ignore_index=True)


def correlations(observations: Observations) -> NDArray[np.float64]:
    """Return Pearson's correlation of the recordings' means, float64 [features, features]; NaN for constant ones."""
    matrix: NDArray[np.float64] = pd.DataFrame(observations.means).corr().to_numpy()
    return matrix


def group_correlations(matrix: NDArray[np.float64], features: FeatureSettings) -> pd.DataFrame:
    """Return the mean absolute correlation within and between groups of features, a row and a column per group.

    A feature's correlation with itself is left out; NaN for a group of one feature with itself.

    Parameters
    ----------
    matrix : as `correlations` returns it.
    """
    rows, strength = rows_of(features), np.where(np.eye(len(matrix)), np.nan, np.abs(matrix))
    blocks = {
        column: {row: pd.Series(strength[rows[row], rows[column]].ravel()).mean() for row in rows} for column in rows
    }
    return pd.DataFrame(blocks).rename_axis("group").reset_index()
