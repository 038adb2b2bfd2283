from types import SimpleNamespace

import numpy as np

from app import context
from app.context import remember, takes_context, with_others


def prediction_of(*summaries):
    """A stand-in for a prediction whose utterances have these summaries."""
    return SimpleNamespace(segments=[SimpleNamespace(summary=np.array(one, dtype=np.float32)) for one in summaries])


def test_a_model_says_itself_whether_it_takes_context(tiny_metadata):
    assert not takes_context(tiny_metadata)
    assert takes_context(SimpleNamespace(context=3))
    assert not takes_context(SimpleNamespace())


def test_summaries_are_kept_and_no_sound(monkeypatch):
    monkeypatch.setattr(context, "_MOST", 2)
    said = {}
    remember(said, "first", prediction_of([1, 2], [3, 4]))
    remember(said, "nothing", prediction_of())
    remember(said, "second", prediction_of([5, 6]))
    assert {key: value.tolist() for key, value in said.items()} == {"first": [[1, 2], [3, 4]], "second": [[5, 6]]}
    remember(said, "second", prediction_of([5, 6]))  # as the page runs again
    remember(said, "third", prediction_of([7, 8]))
    assert list(said) == ["second", "third"]


def test_a_recording_is_not_its_own_context():
    predictor = SimpleNamespace()
    said = {"first": np.array([[1.0, 2.0]], dtype=np.float32)}
    assert with_others(predictor, said, "first") == (predictor, 0)
    assert with_others(predictor, {}, "first") == (predictor, 0)
