"""The tables of the analysis: counts, durations, means, effect sizes, correlations."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ser.eda.observations import FACTORS

EFFECT_FACTORS = ("emotion", "speaker", "gender", "channel", "intensity")


def label_distribution(recordings: pd.DataFrame) -> pd.DataFrame:
    """Return, a row per emotion: emotion, a count for each channel, all, and fraction (of all recordings)."""
    counts = pd.crosstab(recordings["emotion"].astype(str), recordings["channel"].astype(str))
    counts = counts.reindex(index=recordings["emotion"].cat.categories, columns=recordings["channel"].cat.categories)
    counts = counts.assign(all=counts.sum(axis=1), fraction=counts.sum(axis=1) / len(recordings))
    return counts.rename_axis(index="emotion", columns=None).reset_index()


def corpus_summary(recordings: pd.DataFrame) -> pd.DataFrame:
    """Return the corpus in numbers, a row per statistic, a column for "all" and each channel; seconds and Hz."""
    summary = {}
    for channel, part in [("all", recordings), *recordings.groupby("channel", observed=True)]:
        seconds, of_emotions = part["seconds"], part["emotion"].astype(str).value_counts()
        summary[channel] = {
            "recordings": len(part),
            "speakers": part["speaker"].nunique(),
            "emotions": len(of_emotions),
            "recordings_of_rarest_emotion": of_emotions.min(),
            "recordings_of_commonest_emotion": of_emotions.max(),
            "recordings_by_women": (part["gender"] == "female").sum(),
            "recordings_by_men": (part["gender"] == "male").sum(),
            "stereo_recordings": (part["n_channels"] > 1).sum(),
            "sample_rate_min_hz": part["sample_rate"].min(),
            "sample_rate_max_hz": part["sample_rate"].max(),
            "seconds_total": seconds.sum(),
            "seconds_mean": seconds.mean(),
            "seconds_std": seconds.std(ddof=0),
            "seconds_min": seconds.min(),
            "seconds_median": seconds.median(),
            "seconds_max": seconds.max(),
        }
    return pd.DataFrame(summary).rename_axis("statistic").reset_index()


def mean_features(recordings: pd.DataFrame, statistics: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of the recordings' means, mel in decibels.

    A row for all recordings, then one for each emotion, channel, intensity and gender. The columns are (group,
    feature), the index (factor, level, recordings); recordings: how many.
    """
    means = statistics["mean"]
    rows = {("all", "all", len(means)): means.mean()}
    for factor in FACTORS:
        for level, part in means.groupby(recordings[factor], observed=True):
            rows[factor, level, len(part)] = part.mean()
    return pd.DataFrame(rows).T.rename_axis(["factor", "level", "recordings"])


def eta_squared(values: pd.DataFrame, labels: pd.Series) -> pd.Series:
    """Return the fraction of each column's variance that lies between the groups of `labels`.

    Sum of squares between groups over total sum of squares of a one-way analysis of variance (Richardson 2011,
    doi:10.1016/j.edurev.2010.12.001). Groups without an effect give about `(groups - 1) / (observations - 1)`.
    Of float64 `values` [observations, columns], float64 [columns] in [0, 1]; NaN where a column is constant.
    """
    centred = values - values.mean()
    between = (centred.groupby(labels, observed=True).transform("mean") ** 2).sum()
    # The variance of equal values is a rounding error, not always 0.
    return (between / (centred**2).sum()).where(values.nunique() > 1)


def effect_sizes(
    recordings: pd.DataFrame, statistics: pd.DataFrame, labels: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return the eta squared of every mean and deviation, the largest of emotion first.

    The columns are name (of `labels`, feature -> label), feature, group, statistic ("mean" or "deviation", over the
    frames of a recording), and the eta squared of emotion, speaker, gender, channel and intensity, as far as these take
    more than one value.
    """
    factors = [factor for factor in EFFECT_FACTORS if recordings[factor].nunique() > 1]
    found = {factor: eta_squared(statistics, recordings[factor]) for factor in factors}
    table = pd.DataFrame(found, index=statistics.columns).reset_index()
    table["name"] = table["feature"].map(lambda feature: (labels or {}).get(feature, feature))
    table = table[["name", "feature", "group", "statistic", *factors]]
    by = "emotion" if "emotion" in factors else "feature"
    return table.sort_values(by, ascending=False, kind="stable", ignore_index=True)


def group_correlations(matrix: pd.DataFrame) -> pd.DataFrame:
    """Return the mean |r| within and between groups of features, a row and a column per group.

    `matrix` [features, features] has rows and columns (group, feature), and NaN for constant features. A feature's
    correlation with itself is left out; NaN for a group of one feature with itself.
    """
    strength = matrix.abs().mask(np.eye(len(matrix), dtype=bool))
    groups = matrix.columns.unique("group")
    blocks = {column: {row: strength.loc[[row], [column]].mean(axis=None) for row in groups} for column in groups}
    return pd.DataFrame(blocks).rename_axis("group").reset_index()
