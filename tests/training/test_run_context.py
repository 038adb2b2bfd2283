"""The end of a run whose model takes speaker context."""

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ser.corpora.manifest import Recording
from ser.corpora.ravdess import EMOTIONS
from ser.inference.predictor import Predictor
from ser.training.run import _evaluate, _evaluate_in_context
from tests.contexts import context_predictor


@pytest.fixture
def data():
    """What is evaluated of a run's data: eight recordings of each of two speakers."""
    recordings = [
        Recording(path=Path(f"{speaker}{number}"), id=f"{speaker}{number}", emotion=EMOTIONS[number], speaker=speaker)
        for speaker in "ab"
        for number in range(8)
    ]
    rng = np.random.default_rng(0)
    prepared = SimpleNamespace(
        samples=[SimpleNamespace(recording=one) for one in recordings],
        features=rng.normal(-40, 5, size=(16, 16, 64)).astype(np.float32),
        lengths=np.full(16, 64),
    )
    split = SimpleNamespace(train=(), validation=(), test=tuple(recordings))
    return SimpleNamespace(prepared={"test": prepared}, split=split)


def test_a_part_is_scored_in_context(data, tmp_path):
    predictor = context_predictor()
    evaluation = _evaluate(predictor, data, "test")
    _evaluate_in_context(predictor, data, "test", evaluation, tmp_path)
    first, *rest = csv.DictReader((tmp_path / "context.csv").open(encoding="utf-8"))
    assert float(first["uar"]) == pytest.approx(evaluation.results["overall"]["uar"])
    assert len(rest) == 12
    assert {float(row["context_size"]) for row in rest if row["k"] == "all"} == {7, 8, 1}


def test_a_model_without_context_leaves_no_table(data, tmp_path):
    predictor = context_predictor()
    without = Predictor(predictor.scorer, replace(predictor.metadata, context=0))
    evaluation = _evaluate(predictor, data, "test")
    _evaluate_in_context(without, data, "test", evaluation, tmp_path)
    assert list(tmp_path.iterdir()) == []
