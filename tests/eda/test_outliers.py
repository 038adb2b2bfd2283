"""The recordings that are unlike the others: planted ones are found."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser.eda.embedding import isolation
from ser.eda.observations import name_table, statistic_columns
from ser.eda.outliers import notable, outlier_table
from ser.features.settings import FeatureSettings

SMALL = FeatureSettings(groups=("mfcc", "mel", "zcr"), n_mfcc=3, n_mels=8, max_length=20)


def test_the_distance_is_that_to_the_fifth_nearest_over_the_median():
    points = np.array([[0.0], [1], [2], [3], [4], [5], [100]])
    expected = np.array([5, 4, 3, 3, 4, 5, 99.0])  # of 2: 1, 1, 2, 2, 3
    np.testing.assert_allclose(isolation(points), expected / np.median(expected))
    np.testing.assert_allclose(isolation(points[:3]), [1, 0.5, 1])  # of fewer, the furthest
    np.testing.assert_allclose(isolation(np.zeros((8, 2))), 0)


@pytest.fixture
def planted(ravdess_recordings):
    recordings = name_table(ravdess_recordings[::20])
    rng = np.random.default_rng(0)
    recordings["seconds"] = rng.uniform(3, 4, len(recordings))
    recordings.loc[5, "seconds"] = 9.0
    recordings.loc[6, "seconds"] = 0.5
    points = rng.normal(size=(len(recordings), 2 * SMALL.n_features))
    points[3, 2] = -30.0
    points[5, 4] = 20.0
    return recordings, pd.DataFrame(points, columns=statistic_columns(SMALL)), points


def test_planted_outliers_come_first_with_what_is_odd_about_them(planted):
    table = outlier_table(*planted, {"mfcc_2": "MFCC 2"})
    recordings = planted[0]
    assert list(table["file"][:2]) == [recordings["file"][3], recordings["file"][5]]
    assert table["distance"].is_monotonic_decreasing
    assert (table["feature"].iloc[0], table["deviations"].iloc[0]) == ("mean of MFCC 2", -30.0)
    shown = notable(table, dict.fromkeys(recordings["file"], Path("x.wav")))
    assert len(shown) <= 12
    first, second = shown[:2]
    assert first["lines"][1] == "mean of MFCC 2: 30.0 standard deviations below the mean"
    assert second["title"].endswith("times the usual distance, among the longest")
    assert "among the shortest" in next(one["title"] for one in shown if "0.50 s" in one["lines"][0])
