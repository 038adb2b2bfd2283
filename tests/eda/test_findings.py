"""The sentences of the report agree with the tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser.eda import findings
from ser.eda.observations import name_table, statistic_columns
from ser.eda.tables import effect_sizes, label_distribution
from ser.features.settings import FeatureSettings


@pytest.fixture
def ravdess(ravdess_recordings):
    """RAVDESS by name, speech of 3 s and song of 5 s, the first ten of them stereo."""
    table = name_table(ravdess_recordings)
    seconds = np.where(table["channel"] == "song", 5.0, 3.0)
    return table.assign(seconds=seconds, sample_rate=48000, n_channels=np.where(np.arange(len(table)) < 10, 2, 1))


def about(recordings, *, equal=(), window=4.0):
    return " ".join(findings.corpus_findings(recordings, label_distribution(recordings), equal, window=window))


def test_counts_balance_and_durations_of_ravdess(ravdess):
    text = about(ravdess)
    assert "2,452 recordings (1,440 of speech, 1,012 of song) by 24 speakers; all of RAVDESS has 2,452." in text
    assert "The rarest emotion is neutral (188 recordings)" in text
    assert "(376 each): 2.0 to 1" in text
    assert "correct in 15.3%" in text
    assert "There is no song of disgust and surprise" in text
    assert f"They last {(1440 * 3 + 1012 * 5) / 3600:.2f} hours" in text
    assert "1,012 of 2,452 (41.3%) last longer than the 4.00 s" in text
    assert "48,000 Hz; 10 of them are stereo" in text
    assert "No two files are equal" in text


def test_a_balanced_corpus_of_one_channel(ravdess):
    spoken = ravdess[(ravdess["channel"] == "speech") & (ravdess["emotion"] != "neutral")]
    spoken = spoken.assign(**{name: spoken[name].cat.remove_unused_categories() for name in ("channel", "emotion")})
    text = about(spoken, equal=[(Path("a.wav"), Path("b.wav"))], window=5.0)
    assert "Every emotion has the same number of recordings, 192." in text
    assert "song" not in text
    assert "None of 1,344 (0.0%) last longer" in text
    assert "a.wav = b.wav" in text


def test_findings_on_features_are_read_from_the_effects(ravdess):
    settings = FeatureSettings(groups=("mfcc", "delta", "mel"), n_mfcc=2, n_mels=3)
    rng = np.random.default_rng(0)
    means = rng.normal(size=(len(ravdess), settings.n_features))
    means[:, 3] = -means[:, 1]  # the second delta; r is -1 to its MFCC, about 0 between the first two
    means[:, 4] += 50.0 * ravdess["emotion"].cat.codes.to_numpy()
    deviations = rng.normal(size=means.shape) + 9 * ravdess["speaker"].astype(int).to_numpy()[:, None]
    statistics = pd.DataFrame(np.hstack([means, deviations]), columns=statistic_columns(settings))
    text = " ".join(findings.feature_findings(effect_sizes(ravdess, statistics), statistics["mean"].corr()))
    assert "The mean of mel_0 differs most between emotions: they explain 100%" in text
    # All deviations, and the means of pure noise, of which 24 speakers explain more than 8 emotions by chance.
    n_statistics = 2 * settings.n_features
    assert f"{n_statistics - 1} of {n_statistics} means and deviations" in text
    within = abs(np.corrcoef(means[:, 0], means[:, 2])[0, 1])
    assert f"an MFCC and its delta {(1 + within) / 2:.2f}" in text


def test_the_furthest_recording_is_named_and_the_far_ones_counted():
    outliers = pd.DataFrame({"file": ["odd", "b", "c"], "distance": [3.2, 2.5, 1.0]})
    one, other = findings.outlier_findings(outliers)
    assert one.startswith("odd is the most unlike the others: it lies 3.2 times as far")
    assert other == "2 of 3 lie more than twice as far."
    assert findings.outlier_findings(outliers[1:])[1] == "1 of 2 lies more than twice as far."
    assert findings.outlier_findings(outliers[2:])[1] == "None of 1 lie more than twice as far."


def test_neighbours_are_stated_with_their_chance():
    rows = [("any recording", "same speaker", 0.9, 0.04), ("any recording", "same emotion", 0.7, 0.15)]
    rows += [("another speaker's", "same emotion", 0.3, 0.14)]
    table = pd.DataFrame(rows, columns=["neighbour", "agreement", "fraction", "chance"])
    emotions = pd.DataFrame({"emotion": ["calm", "sad"], "calm": [0.8, 0.6], "sad": [0.2, 0.4]})
    text = " ".join(findings.neighbour_findings(table, emotions))
    assert "same speaker in 90.0% (chance 4.0%)" in text
    assert "same emotion in 70.0% (chance 15.0%)" in text
    assert "in 30.0% (chance 14.0%)" in text
    assert "is sad for calm: of the recordings of sad, another" in text
    assert "another speaker's nearest is calm in 60.0%, and sad in 40.0%" in text
