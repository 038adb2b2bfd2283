import json
import math
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from ser.evaluation.metrics import Metrics, expected_calibration_error, reliability_bins


def _names(n_classes):
    return tuple(f"class {k}" for k in range(n_classes))


def _random_labels(seed, n_classes, *, truth_without=(), predicted_without=()):
    rng = np.random.default_rng(seed)
    truth = rng.choice([k for k in range(n_classes) if k not in truth_without], size=60)
    guess = rng.choice([k for k in range(n_classes) if k not in predicted_without], size=60)
    keep = (rng.random(60) < 0.5) & ~np.isin(truth, predicted_without)
    return truth, np.where(keep, truth, guess)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("n_classes", "truth_without", "predicted_without"),
    [(8, (), ()), (7, (), ()), (2, (), ()), (8, (6, 7), ()), (8, (), (0, 3)), (8, (2,), (2, 5))],
)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_metrics_agree_with_sklearn(seed, n_classes, truth_without, predicted_without):
    truth, predicted = _random_labels(seed, n_classes, truth_without=truth_without, predicted_without=predicted_without)
    labels = list(range(n_classes))
    counts = sklearn_metrics.confusion_matrix(truth, predicted, labels=labels)
    found = Metrics.from_confusion(counts, _names(n_classes))
    assert found.accuracy == pytest.approx(sklearn_metrics.accuracy_score(truth, predicted))
    assert found.uar == pytest.approx(sklearn_metrics.balanced_accuracy_score(truth, predicted))
    assert found.weighted_f1 == pytest.approx(sklearn_metrics.f1_score(truth, predicted, average="weighted"))
    assert found.macro_f1 == pytest.approx(sklearn_metrics.f1_score(truth, predicted, average="macro"))
    assert found.n_recordings == 60
    precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=np.nan
    )
    for k, of_class in enumerate(found.per_class):
        assert of_class.name == f"class {k}"
        assert of_class.support == support[k]
        for ours, theirs in ((of_class.recall, recall[k]), (of_class.precision, precision[k]), (of_class.f1, f1[k])):
            assert (math.nan if ours is None else ours) == pytest.approx(theirs, nan_ok=True)


def test_a_matrix_by_hand_is_read_with_truth_in_the_rows():
    # Five recordings of "a", of which three are recognised and two called "b"; one of "b", recognised.
    found = Metrics.from_confusion([[3, 2, 0], [0, 1, 0], [0, 0, 0]], ("a", "b", "c"))
    a, b, c = found.per_class
    assert (a.recall, a.precision, a.f1, a.support) == (3 / 5, 1.0, 6 / 8, 5)
    assert (b.recall, b.precision, b.f1, b.support) == (1.0, 1 / 3, 2 / 4, 1)
    assert (c.recall, c.precision, c.f1, c.support) == (None, None, None, 0)
    assert found.headline() == pytest.approx(
        {"accuracy": 4 / 6, "uar": 0.8, "weighted_f1": (5 * 0.75 + 0.5) / 6, "macro_f1": 0.625}
    )


def test_a_class_predicted_but_never_true_counts_in_macro_f1_and_not_in_uar():
    found = Metrics.from_confusion([[1, 1], [0, 0]], ("a", "b"))
    assert found.uar == 0.5
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert (found.per_class[1].recall, found.per_class[1].precision, found.per_class[1].f1) == (None, 0.0, 0.0)


def test_a_single_class_is_recognised_by_definition():
    found = Metrics.from_confusion([[4]], ("only",))
    assert set(found.headline().values()) == {1.0}


def test_plain_values_survive_json():
    counts = np.array([[3, 2, 0], [0, 1, 0], [0, 0, 0]], dtype=np.int32)
    plain = Metrics.from_confusion(counts, ("a", "b", "c")).as_plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["confusion_matrix"] == counts.tolist()
    assert plain["per_class"]["a"] == {"recall": 0.6, "precision": 1.0, "f1": 0.75, "support": 5}
    assert plain["per_class"]["c"] == {"recall": None, "precision": None, "f1": None, "support": 0}


@pytest.mark.parametrize(
    ("confusion", "complaint"),
    [
        ([[0, 0], [0, 0]], "no recording"),
        ([[1, 0, 0], [0, 1, 0]], r"shape \(2, 3\)"),
        ([[1]], "2 classes"),
        ([[1.0, 0.0], [0.0, 1.0]], "integers"),
        ([[1, -1], [0, 1]], "integers of 0 or more"),
    ],
)
def test_a_matrix_that_cannot_be_scored_is_refused(confusion, complaint):
    with pytest.raises(ValueError, match=complaint):
        Metrics.from_confusion(confusion, ("a", "b"))


def test_no_class_at_all_is_refused():
    with pytest.raises(ValueError, match="no recording"):
        Metrics.from_confusion(np.zeros((0, 0), dtype=np.int64), ())


def test_calibration_error_by_hand():
    # Bins (0, 0.5] and (0.5, 1]. The first holds one hit of confidence 0.5: gap 0.5. The second holds confidences
    # 0.6, 0.8 and 1.0 with one hit: gap 0.8 - 1/3. Weighted 1 : 3.
    probabilities = [[0.5, 0.3, 0.2], [0.6, 0.4, 0.0], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]]
    found = expected_calibration_error(probabilities, [0, 1, 1, 0], bins=2)
    assert found == pytest.approx((0.5 + 3 * (0.8 - 1 / 3)) / 4)


def test_calibration_error_agrees_with_its_definition():
    rng = np.random.default_rng(7)
    probabilities = rng.dirichlet([0.3] * 8, size=200)
    truth = rng.integers(0, 8, size=200)
    total = 0.0
    for k in range(15):
        inside = [
            (row.max(), float(row.argmax() == label))
            for row, label in zip(probabilities, truth, strict=True)
            if k / 15 < row.max() <= (k + 1) / 15
        ]
        if inside:
            confidence, hits = np.mean(inside, axis=0)
            total += len(inside) / 200 * abs(confidence - hits)
    assert expected_calibration_error(probabilities, truth) == pytest.approx(total)


def test_calibration_error_at_its_ends():
    sure = np.eye(3)
    assert expected_calibration_error(sure, [0, 1, 2]) == 0
    assert expected_calibration_error(sure, [1, 2, 0]) == 1


@pytest.mark.parametrize(
    ("probabilities", "truth", "complaint"),
    [
        (np.zeros((0, 3)), [], "shape"),
        ([[0.5, 0.5]], [0, 1], "shape"),
        ([[2.0, -1.0]], [0], "sum to 1"),
        ([[50.0, 50.0]], [0], "sum to 1"),
        ([[0.2, 0.2]], [0], "sum to 1"),
        ([[math.nan, 1.0]], [0], "sum to 1"),
        ([[0.5, 0.5]], [2], "truth"),
    ],
)
def test_calibration_error_refuses_what_is_no_distribution(probabilities, truth, complaint):
    with pytest.raises(ValueError, match=complaint):
        expected_calibration_error(probabilities, truth)


def test_calibration_error_refuses_no_bins():
    with pytest.raises(ValueError, match="bins is 0"):
        expected_calibration_error([[1.0, 0.0]], [0], bins=0)


def test_importing_the_module_loads_neither_torch_nor_matplotlib():
    code = "import sys, ser.evaluation.metrics; sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_reliability_bins_by_hand():
    """Edges belong to the bin below, and an empty bin has no mean."""
    probabilities = [[0.5, 0.5], [0.6, 0.4], [0.1, 0.9], [0.25, 0.75]]
    bins = reliability_bins(probabilities, [0, 1, 1, 0], bins=4)
    assert [(each.low, each.high, each.n) for each in bins] == [
        (0.0, 0.25, 0), (0.25, 0.5, 1), (0.5, 0.75, 2), (0.75, 1.0, 1),
    ]  # fmt: skip
    assert (bins[0].confidence, bins[0].accuracy) == (None, None)
    assert (bins[1].confidence, bins[1].accuracy) == (0.5, 1)
    assert (bins[2].confidence, bins[2].accuracy) == (pytest.approx((0.6 + 0.75) / 2), 0)
    assert (bins[3].confidence, bins[3].accuracy) == (0.9, 1)
