"""Counts, durations, means, effect sizes and correlations, against other ways of computing them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ser.corpora.ravdess import EMOTIONS
from ser.corpora.reading import find_recordings
from ser.eda import tables
from ser.eda.observations import name_table, read_headers, statistic_columns
from ser.features.settings import FeatureSettings

SMALL = FeatureSettings(groups=("mfcc", "mel", "zcr"), n_mfcc=3, n_mels=8, max_length=20)


@pytest.fixture
def made_up(ravdess_recordings):
    """The names of every seventh recording of RAVDESS, and random statistics."""
    names = name_table(ravdess_recordings[::7])
    values = np.random.default_rng(1).normal(size=(len(names), 2 * SMALL.n_features))
    values[:, 0] += 2.0 * names["emotion"].cat.codes.to_numpy()
    values[:, 1] = 0.1
    return names, pd.DataFrame(values, columns=statistic_columns(SMALL))


def test_the_labels_of_ravdess_are_counted_by_channel(ravdess_recordings):
    labels = tables.label_distribution(name_table(ravdess_recordings))
    assert list(labels["emotion"]) == list(EMOTIONS)
    assert list(labels["speech"]) == [96, *[192] * 7]
    assert list(labels["song"]) == [92, *[184] * 5, 0, 0]
    assert list(labels["all"]) == [188, *[376] * 5, 192, 192]
    assert labels["fraction"].to_numpy() == pytest.approx(labels["all"] / 2452)
    spoken = name_table(r for r in ravdess_recordings if r.channel == "speech")
    assert list(tables.label_distribution(spoken)) == ["emotion", "speech", "all", "fraction"]


def test_eta_squared_is_that_of_the_analysis_of_variance():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200).astype(str)
    values = rng.normal(size=(200, 3)) + np.outer(labels.astype(int), [0, 0.3, 5]) + 100
    for column, found in zip(values.T, tables.eta_squared(pd.DataFrame(values), pd.Series(labels)), strict=True):
        f, _ = stats.f_oneway(*(column[labels == label] for label in np.unique(labels)))
        between, within = 5 - 1, 200 - 5
        assert found == pytest.approx(f * between / (f * between + within))


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 1, 3, 3], 1.0), ([1, 3, 1, 3], 0.0), ([0.1, 0.1, 0.1, 0.1], np.nan)]
)
def test_eta_squared_at_its_ends(values, expected):
    found = tables.eta_squared(pd.DataFrame({"x": values}), pd.Series(list("aabb")))
    np.testing.assert_allclose(found, [expected])


def test_the_largest_effect_of_emotion_comes_first(made_up):
    effects = tables.effect_sizes(*made_up)
    first = effects.iloc[0]
    assert (first["feature"], first["statistic"], first["group"]) == ("mfcc_0", "mean", "mfcc")
    assert len(effects) == 2 * SMALL.n_features
    assert effects["emotion"].dropna().is_monotonic_decreasing
    assert effects["emotion"].isna().sum() == 1


def test_a_factor_of_one_level_is_left_out(made_up):
    recordings, statistics = made_up
    of_one = (recordings["speaker"] == "01") & (recordings["channel"] == "speech")
    effects = tables.effect_sizes(recordings[of_one], statistics[of_one])
    assert set(tables.EFFECT_FACTORS) & set(effects) == {"emotion", "intensity"}


def test_mean_features_are_means_of_their_recordings(made_up):
    recordings, statistics = made_up
    means = tables.mean_features(recordings, statistics)
    assert list(means) == [name[1:] for name in statistics if name[0] == "mean"]
    assert len(means) == 1 + 8 + 2 + 2 + 2
    sung = (recordings["channel"] == "song").to_numpy()
    of_song = means.loc["channel", "song", sung.sum()]
    assert of_song["mfcc", "mfcc_2"] == pytest.approx(statistics.to_numpy()[sung, 2].mean())
    assert means.iloc[0, 0] == pytest.approx(statistics.to_numpy()[:, 0].mean())


def test_group_correlations_leave_a_feature_with_itself_out(made_up):
    means = made_up[1]["mean"]
    blocks = tables.group_correlations(means.corr()).set_index("group")
    r = stats.pearsonr(means["mfcc", "mfcc_0"], means["mfcc", "mfcc_2"]).statistic  # the second is constant
    assert blocks.at["mfcc", "mfcc"] == pytest.approx(abs(r))
    assert np.isnan(blocks.at["zcr", "zcr"])


@pytest.mark.ravdess
def test_the_real_corpus_is_as_long_as_it_is_known_to_be(ravdess_root):
    recordings = find_recordings(ravdess_root)
    table, failures = read_headers(recordings)
    assert not failures
    summary = tables.corpus_summary(table).set_index("statistic")
    facts = {"speech": (1440, 24, 3.70, 0.34, 2.94, 5.27), "song": (1012, 23, 4.65, 0.42, 3.50, 6.37)}
    for channel, (n_recordings, n_actors, mean, deviation, shortest, longest) in facts.items():
        found = summary[channel]
        assert (found["recordings"], found["speakers"]) == (n_recordings, n_actors)
        seconds = found[["seconds_mean", "seconds_std", "seconds_min", "seconds_max"]].astype(float)
        assert list(seconds) == pytest.approx([mean, deviation, shortest, longest], abs=0.0051)
