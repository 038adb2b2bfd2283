import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from ser.corpora.manifest import Recording
from ser.evaluation.metrics import (
    HEADLINES,
    classification_metrics,
    closed_set_metrics,
    corpus_metrics,
    expected_calibration_error,
    group_metrics,
    reliability_bins,
)
from ser.evaluation.predictions import classes_by_corpus, closed_set, prediction_table


def table_of(confusion, names):
    """Return the predictions that a confusion matrix counts."""
    pairs = [
        (t, p)
        for t, row in zip(names, confusion, strict=True)
        for p, n in zip(names, row, strict=True)
        for _ in range(n)
    ]
    return pd.DataFrame(pairs, columns=["true", "predicted"], dtype=pd.CategoricalDtype(list(names)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("n_classes", "never_true", "never_predicted"),
    [(8, (), ()), (7, (), ()), (2, (), ()), (8, (6, 7), ()), (8, (), (0, 3)), (8, (2,), (2, 5))],
)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_metrics_agree_with_sklearn(seed, n_classes, never_true, never_predicted):
    rng, names = np.random.default_rng(seed), [f"class {k}" for k in range(n_classes)]
    true = rng.choice(np.delete(names, list(never_true)), size=60)
    guess = rng.choice(np.delete(names, list(never_predicted)), size=60)
    known = (rng.random(60) < 0.5) & ~np.isin(true, np.take(names, never_predicted))
    table = pd.DataFrame({"true": true, "predicted": np.where(known, true, guess)}, dtype=pd.CategoricalDtype(names))
    found = classification_metrics(table)
    assert found["accuracy"] == pytest.approx(accuracy_score(table.true, table.predicted))
    assert found["uar"] == pytest.approx(balanced_accuracy_score(table.true, table.predicted))
    assert found["weighted_f1"] == pytest.approx(f1_score(table.true, table.predicted, average="weighted"))
    assert found["macro_f1"] == pytest.approx(f1_score(table.true, table.predicted, average="macro"))


def test_metrics_by_hand_are_plain_values_with_truth_in_the_rows():
    # Five recordings of "b", of which three are recognised and two called "a"; one of "a", recognised.
    confusion = [[3, 2, 0], [0, 1, 0], [0, 0, 0]]
    found = classification_metrics(table_of(confusion, ("b", "a", "c")))
    assert found["confusion_matrix"] == confusion
    assert found["n_recordings"] == 6
    assert found["per_class"] == {
        "b": {"recall": 3 / 5, "precision": 1.0, "f1": 6 / 8, "support": 5},
        "a": {"recall": 1.0, "precision": 1 / 3, "f1": 2 / 4, "support": 1},
        "c": {"recall": None, "precision": None, "f1": None, "support": 0},
    }
    expected = {"accuracy": 4 / 6, "uar": 0.8, "weighted_f1": (5 * 0.75 + 0.5) / 6, "macro_f1": 0.625}
    assert {name: found[name] for name in HEADLINES} == pytest.approx(expected)
    assert json.loads(json.dumps(found)) == found


def test_a_class_predicted_but_never_true_counts_in_macro_f1_and_not_in_uar():
    found = classification_metrics(table_of([[1, 1], [0, 0]], "ab"))
    assert found["uar"] == 0.5
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["per_class"]["b"] == {"recall": None, "precision": 0.0, "f1": 0.0, "support": 0}


def test_no_recording_is_refused():
    with pytest.raises(ValueError, match="no recording"):
        classification_metrics(table_of([[0]], ["only"]))


def test_groups_that_occur_are_scored_in_the_order_of_their_names():
    found = group_metrics(table_of([[1, 1], [0, 1]], "ab"), ["song", "speech", "song"], ("speech", "song", "hum"))
    assert list(found) == ["speech", "song"]
    assert found["song"] == {"n_recordings": 2} | dict.fromkeys(HEADLINES, 1.0)
    assert found["speech"]["accuracy"] == 0


def test_reliability_bins_and_calibration_error_by_hand():
    """Edges belong to the bin below, and an empty bin has no mean."""
    probabilities = [[0.5, 0.5], [0.6, 0.4], [0.1, 0.9], [0.25, 0.75]]
    names = ("low", "high", "n", "confidence", "accuracy")
    rows = [(0.0, 0.25, 0, None, None), (0.25, 0.5, 1, 0.5, 1), (0.5, 0.75, 2, 0.675, 0), (0.75, 1.0, 1, 0.9, 1)]
    found = reliability_bins(probabilities, [0, 1, 1, 0], bins=4)
    assert [pytest.approx(each) for each in found] == [dict(zip(names, row, strict=True)) for row in rows]
    error = expected_calibration_error(probabilities, [0, 1, 1, 0], bins=4)
    assert error == pytest.approx((0.5 + 2 * 0.675 + 0.1) / 4)


def test_calibration_error_agrees_with_its_definition():
    rng = np.random.default_rng(7)
    probabilities = rng.dirichlet([0.3] * 8, size=200)
    truth = rng.integers(0, 8, size=200)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = [(k / 15 < confidence) & (confidence <= (k + 1) / 15) for k in range(15)]
    gaps = [abs(confidence[inside].mean() - correct[inside].mean()) * inside.sum() for inside in bins if inside.any()]
    assert expected_calibration_error(probabilities, truth) == pytest.approx(sum(gaps) / 200)


@pytest.mark.parametrize(
    ("probabilities", "truth", "bins", "complaint"),
    [
        (np.zeros((0, 3)), [], 15, "shape"),
        ([[0.5, 0.5]], [0, 1], 15, "shape"),
        ([[2.0, -1.0]], [0], 15, "sum to 1"),
        ([[50.0, 50.0]], [0], 15, "sum to 1"),
        ([[0.2, 0.2]], [0], 15, "sum to 1"),
        ([[math.nan, 1.0]], [0], 15, "sum to 1"),
        ([[0.5, 0.5]], [2], 15, "truth"),
        ([[0.5, 0.5]], [0], 0, "bins is 0"),
    ],
)
def test_calibration_error_refuses_what_is_no_distribution(probabilities, truth, bins, complaint):
    with pytest.raises(ValueError, match=complaint):
        expected_calibration_error(probabilities, truth, bins)


CLASSES = ("calm", "happy", "sad")
SCORED = (
    # corpus, speaker, true class, probabilities
    ("b", "1", "happy", (0.6, 0.3, 0.1)),  # right, once calm is out of the question
    ("b", "1", "happy", (0.1, 0.2, 0.7)),  # wrong either way
    ("b", "2", "sad", (0.5, 0.1, 0.4)),
    ("b", "", "sad", (0.0, 0.2, 0.8)),
    ("a", "3", "calm", (0.6, 0.3, 0.1)),  # calm is a class of this corpus
    ("a", "3", "sad", (0.5, 0.1, 0.4)),
)


def scored_table(rows=SCORED):
    recordings = [
        Recording(path=Path(), id=str(number), emotion=true, speaker=speaker or None, corpus=corpus)
        for number, (corpus, speaker, true, _) in enumerate(rows)
    ]
    return prediction_table(recordings, [row[-1] for row in rows], CLASSES)


def classes_of(table, *further):
    rows = [*zip(table["corpus"], table["true"], strict=True), *further]
    return classes_by_corpus([corpus for corpus, _ in rows], [label for _, label in rows], CLASSES)


def test_a_closed_set_prediction_is_one_of_the_classes_of_its_own_corpus():
    table = scored_table()
    classes = classes_of(table, ("a", "happy"), ("a", "bored"))
    assert classes == {"a": ["calm", "happy", "sad"], "b": ["happy", "sad"]}
    closed = closed_set(table, classes)
    assert list(table["predicted"]) == ["calm", "sad", "calm", "sad", "calm", "calm"]
    assert list(closed["predicted"]) == ["happy", "sad", "sad", "sad", "calm", "calm"]
    assert list(closed["predicted"].cat.categories) == list(CLASSES)
    # Open-set: calm 1/1, happy 0/2, sad 1/3. Closed-set: calm 1/1, happy 1/2, sad 2/3.
    assert classification_metrics(table)["uar"] == pytest.approx((1 + 0 + 1 / 3) / 3)
    assert closed_set_metrics(table, classes) == pytest.approx({"accuracy": 4 / 6, "uar": (1 + 1 / 2 + 2 / 3) / 3})


def test_each_corpus_has_its_metrics_and_one_that_has_all_classes_no_closed_set():
    table = scored_table()
    found = corpus_metrics(table, classes_of(table, ("a", "happy")))
    assert list(found) == ["a", "b"]
    assert (found["a"]["n_recordings"], found["a"]["n_speakers"], found["a"]["closed_set"]) == (2, 1, None)
    assert (found["b"]["n_recordings"], found["b"]["n_speakers"], found["b"]["classes"]) == (4, 2, ["happy", "sad"])
    assert found["b"]["uar"] == pytest.approx((0 + 1 / 2) / 2)
    assert found["b"]["closed_set"] == pytest.approx({"accuracy": 3 / 4, "uar": (1 / 2 + 1) / 2})
    gaps = [abs(0.6 - 0), abs(0.7 - 0), abs(0.5 - 0), abs(0.8 - 1)]  # each alone in its bin
    assert found["b"]["expected_calibration_error"] == pytest.approx(sum(gaps) / 4)
    alone = closed_set_metrics(table[table["corpus"] == "a"], {"a": CLASSES})
    assert alone is None
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("seed", range(3))
def test_closed_set_metrics_are_those_of_probabilities_without_the_other_classes(seed):
    rng, names = np.random.default_rng(seed), [f"class {k}" for k in range(6)]
    has = {"a": names[:4], "b": names[2:], "c": names}
    corpora = rng.choice(list(has), size=90)
    truth = [rng.choice(has[corpus]) for corpus in corpora]
    probabilities = rng.dirichlet(np.ones(6), size=90)
    recordings = [
        Recording(path=Path(), id=str(n), emotion=emotion, corpus=corpus)
        for n, (emotion, corpus) in enumerate(zip(truth, corpora, strict=True))
    ]
    # Another way: renormalise what is left of each row, and let scikit-learn count.
    left = [
        {name: p for name, p in zip(names, row, strict=True) if name in has[corpus]}
        for row, corpus in zip(probabilities, corpora, strict=True)
    ]
    guess = [max(row, key=row.get) for row in left]
    table = prediction_table(recordings, probabilities, names)
    found = closed_set_metrics(table, has)
    assert found["uar"] == pytest.approx(balanced_accuracy_score(truth, guess))
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, guess))
    assert found["accuracy"] >= classification_metrics(table)["accuracy"]
