import itertools

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from ser.evaluation.intervals import accuracy, confusions_by_speaker, speaker_interval, unweighted_average_recall


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_the_statistics_are_scikit_learns():
    """Actor 3 has no recording of class 0."""
    rng = np.random.default_rng(0)
    truth, actors = rng.integers(3, size=200), rng.choice([3, 5, 8], size=200)
    truth[(actors == 3) & (truth == 0)] = 1
    predicted = np.where(rng.uniform(size=200) < 0.6, truth, rng.integers(3, size=200))
    counts = confusions_by_speaker(truth, predicted, actors, 3)
    assert list(counts) == [3, 5, 8]
    for actor, matrix in counts.items():
        pair = truth[actors == actor], predicted[actors == actor]
        np.testing.assert_array_equal(matrix, confusion_matrix(*pair, labels=range(3)))
        assert unweighted_average_recall(matrix) == pytest.approx(balanced_accuracy_score(*pair))
        assert accuracy(matrix) == pytest.approx(accuracy_score(*pair))
    stacked = np.array(list(counts.values()))
    np.testing.assert_array_equal(accuracy(stacked), [accuracy(matrix) for matrix in stacked])
    assert unweighted_average_recall(stacked.sum(axis=0)) == pytest.approx(balanced_accuracy_score(truth, predicted))


def diagonal(right, wrong):
    """A matrix of two classes, each with `right` recordings recognised and `wrong` not."""
    return [[right, wrong], [wrong, right]]


@pytest.mark.parametrize(
    ("actors", "statistic", "level"),
    [
        ([diagonal(3, 0), diagonal(0, 3)], accuracy, 0.95),
        ([diagonal(3, 0), diagonal(0, 3)], accuracy, 0.4),
        ([diagonal(3, 1)] * 3, unweighted_average_recall, 0.95),
        ([[[2, 0], [0, 0]], [[0, 0], [1, 1]]], unweighted_average_recall, 0.95),  # a drawn actor may lack a class
        ([diagonal(9, 1), diagonal(6, 4), diagonal(3, 7)], accuracy, 0.8),
    ],
)
def test_the_ends_are_those_of_all_possible_resamples(actors, statistic, level):
    # All ordered draws have equal weight, so the quantiles of two or three actors can be written down.
    draws = itertools.product(range(len(actors)), repeat=len(actors))
    exact = [statistic(np.array(actors)[list(draw)].sum(axis=0)) for draw in draws]
    got = speaker_interval([actors], statistic, resamples=50_000, seed=1, level=level)
    # Both quantiles lie inside a step of the exact distribution, so they must be equal.
    assert got == pytest.approx(np.quantile(np.repeat(exact, 1000), [(1 - level) / 2, (1 + level) / 2]))


def test_models_are_resampled_with_the_same_actors_of_the_seed_and_then_averaged():
    rng = np.random.default_rng(2)
    counts = rng.integers(1, 9, size=(3, 6, 4, 4))
    draws = np.random.default_rng(7).multinomial(6, np.full(6, 1 / 6), size=500)
    values = []
    for draw in draws:
        matrices = (draw[:, None, None] * counts).sum(axis=1)  # of the models
        values.append(np.mean([matrix[k, k] / matrix[k].sum() for matrix in matrices for k in range(4)]))
    got = speaker_interval(counts, unweighted_average_recall, resamples=500, seed=7)
    assert got == pytest.approx(np.quantile(values, [0.025, 0.975]))


def test_a_reference_is_resampled_alike():
    """Actors differ far more than the two sides do; drawn alike, only the difference is left."""
    rng = np.random.default_rng(5)
    right = rng.integers(2, 18, size=12)
    reference = np.array([[[[n, 20 - n], [20 - n, n]] for n in right]])
    better = np.array([[[[n + 2, 18 - n], [18 - n, n + 2]] for n in right]])
    settings = {"resamples": 2000, "seed": 0}
    gained = speaker_interval(better, unweighted_average_recall, reference=reference, **settings)
    assert gained == pytest.approx((0.1, 0.1))
    alone = speaker_interval(reference, unweighted_average_recall, **settings)
    assert alone[1] - alone[0] > 0.1
    # Sides that gain differently: a plain loop over resamples of its own.
    gains = rng.integers(0, 3, size=12)
    mixed = np.array([[[[n + g, 20 - n - g], [20 - n, n]] for n, g in zip(right, gains, strict=True)]])
    values = [gains[rng.choice(12, size=12)].sum() / (12 * 20) / 2 for _ in range(4000)]
    found = speaker_interval(mixed, unweighted_average_recall, reference=reference, **settings)
    assert found == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.003)
