"""Nearest neighbours and maps, on points whose neighbours are known."""

import numpy as np
import pandas as pd
import pytest

from ser.eda import embedding


def recordings_of(emotions, speakers):
    return pd.DataFrame({"emotion": pd.Categorical(emotions, ordered=True), "speaker": speakers})


def test_neighbours_are_found_by_exhaustive_search():
    rng = np.random.default_rng(3)
    points, speakers = rng.normal(size=(40, 5)), rng.integers(1, 5, 40)
    found = embedding.nearest_neighbours(points, speakers)
    for here in range(40):
        by_distance = sorted(range(40), key=lambda there: np.sum((points[here] - points[there]) ** 2))
        assert found[embedding.ANYONE][here] == by_distance[1]  # after itself
        assert found[embedding.OTHERS][here] == next(
            there for there in by_distance if speakers[there] != speakers[here]
        )


def test_fractions_and_chances_of_a_corpus_that_can_be_counted():
    # Two speakers far apart on a line, each with happy, happy, sad.
    points = np.array([[0.0], [1.0], [2.5], [100.0], [101.0], [102.5]])
    recordings = recordings_of(["happy", "happy", "sad"] * 2, [1, 1, 1, 2, 2, 2])
    neighbours = embedding.nearest_neighbours(points, recordings["speaker"].to_numpy())
    table = embedding.neighbour_table(neighbours, recordings).set_index(["neighbour", "agreement"])
    assert table.loc[("any recording", "same speaker")].tolist() == pytest.approx([1.0, 2 / 5])
    assert table.loc[("any recording", "same emotion")].tolist() == pytest.approx([4 / 6, (4 * 3 / 5 + 2 * 1 / 5) / 6])
    # The nearest of another speaker is for speaker 1 the first happy of speaker 2, and for that one speaker 1's sad.
    other = table.loc[("another speaker's", "same emotion")].tolist()
    assert other == pytest.approx([(2 + 1) / 6, (4 * 2 / 3 + 2 * 1 / 3) / 6])
    emotions = embedding.neighbour_emotions(neighbours, recordings).set_index("emotion")
    assert emotions.loc["happy"].to_dict() == pytest.approx({"happy": 0.5, "sad": 0.5})
    assert emotions.loc["sad"].to_dict() == pytest.approx({"happy": 0.5, "sad": 0.5})


def test_one_actor_has_no_neighbour_of_another_actor():
    points = np.arange(4.0)[:, None]
    recordings = recordings_of(["happy", "sad"] * 2, [7] * 4)
    neighbours = embedding.nearest_neighbours(points, recordings["speaker"].to_numpy())
    assert list(neighbours) == [embedding.ANYONE]
    assert set(embedding.neighbour_table(neighbours, recordings)["neighbour"]) == {"any recording"}


def test_the_first_component_is_the_direction_of_most_variance():
    rng = np.random.default_rng(0)
    line = rng.normal(size=100)
    points = np.outer(line, [3, 4, 0]) + 0.01 * rng.normal(size=(100, 3))
    embedded = embedding.pca_embedding(points)
    assert abs(np.corrcoef(embedded.iloc[:, 0], line)[0, 1]) > 0.999
    assert "100%" in embedded.columns[0]


def test_tsne_keeps_two_crowds_apart_and_repeats_itself():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 6)) + 20 * (np.arange(40) < 20)[:, None]
    embedded = embedding.tsne_embedding(points, seed=1).to_numpy()
    np.testing.assert_array_equal(embedded, embedding.tsne_embedding(points, seed=1))
    nearest = embedding.nearest_neighbours(embedded, np.ones(40))[embedding.ANYONE]
    assert ((nearest < 20) == (np.arange(40) < 20)).all()
