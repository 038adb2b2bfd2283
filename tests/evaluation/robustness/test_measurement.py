from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import recall_score

from ser.corpora.manifest import Recording
from ser.evaluation.cross_validation.record import CrossValidation
from ser.evaluation.predictions import class_numbers, prediction_table
from ser.evaluation.robustness.measurement import UNCHANGED, scores_of_changes
from ser.evaluation.robustness.report import write_robustness
from ser.evaluation.robustness.sound_changes import CHANGES

CLASSES = ("angry", "calm", "sad")
CROSS_VALIDATION = CrossValidation(
    folder=Path("none"),
    protocol="Made up.",
    folds=("0",),
    seeds=(1, 2),
    parts=("test",),
    class_names=CLASSES,
    bootstrap_resamples=50,
    bootstrap_seed=0,
    target_selective_accuracy=0.8,
)


def scored_recordings():
    """Of two corpora, of which one has no calm recordings."""
    recordings = [
        Recording(
            path=Path("x"), id=f"{corpus}/{n}", emotion=classes[n % len(classes)], speaker=f"s{n % 4}", corpus=corpus
        )
        for corpus, classes, count in (("one", CLASSES, 60), ("two", ("angry", "sad"), 31))
        for n in range(count)
    ]
    return prediction_table(recordings, np.full((len(recordings), 3), 1 / 3), CLASSES), np.random.default_rng(0)


def test_changes_are_scored_for_all_recordings_and_for_each_corpus(tmp_path):
    scored, rng = scored_recordings()
    predicted = rng.integers(3, size=(2, 1 + len(CHANGES), len(scored)))
    found = scores_of_changes(scored, predicted, CROSS_VALIDATION)
    truth = class_numbers(scored)

    def uar(chosen, place):
        present = sorted(set(truth[chosen]))
        return np.mean(
            [recall_score(truth[chosen], one[place][chosen], labels=present, average="macro") for one in predicted]
        )

    parts = {"": (np.ones(len(scored), dtype=bool), found)}
    parts |= {name: (scored["corpus"].to_numpy() == name, one) for name, one in found["by_corpus"].items()}
    assert list(parts) == ["", "one", "two"]
    for chosen, one in parts.values():
        assert list(one["changes"]) == [UNCHANGED, *CHANGES]
        for place, change in enumerate(one["changes"].values()):
            assert change["uar"] == pytest.approx(uar(chosen, place))
            assert change["loss"] == pytest.approx(uar(chosen, 0) - uar(chosen, place))
    assert [one["n_recordings"] for one in found["by_corpus"].values()] == [60, 31]

    values = {"protocol": "Made up.", "part": "test", "n_recordings": 91, "of_recordings": 91, "seeds": [1, 2], **found}
    text = write_robustness(values | {"bootstrap": CROSS_VALIDATION.bootstrap()}, tmp_path)
    tables = text.split("\n## ")
    assert [part.partition("\n")[0] for part in tables] == [
        "# Robustness",
        "one: 60 recordings",
        "two: 31 recordings",
        "Notes",
    ]
    assert f"{found['by_corpus']['two']['changes']['rir']['loss']:.2%}" in tables[2]


def test_of_one_corpus_there_is_one_table():
    scored, rng = scored_recordings()
    scored = scored[scored["corpus"] == "one"]
    predicted = rng.integers(3, size=(2, 1 + len(CHANGES), len(scored)))
    assert scores_of_changes(scored, predicted, CROSS_VALIDATION)["by_corpus"] == {}
