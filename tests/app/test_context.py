from types import SimpleNamespace

import numpy as np
import pytest

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


def test_all_other_recordings_are_the_context():
    speaker_context = pytest.importorskip("ser.inference.context").SpeakerContext
    predictor = SimpleNamespace(with_speaker_context=lambda context: context)
    said = {"first": np.array([[1, 2], [3, 4]]), "second": np.array([[5, 6]]), "third": np.array([[90, 90]])}
    context, n_recordings = with_others(predictor, said, "third")
    assert isinstance(context, speaker_context)
    assert n_recordings == 2
    np.testing.assert_allclose(context.row(), [3, 3, 4, 8 / 3, 8 / 3])  # the number, the means, the variances
