from types import SimpleNamespace

import numpy as np
import streamlit as st

from app import context, page
from app.context import remember, takes_context, with_others
from app.model_choice import OPTION
from tests.app.conftest import wav
from tests.app.page import rows_of, texts
from tests.contexts import METADATA, context_predictor


def prediction_of(*summaries):
    """A stand-in for a prediction whose utterances have these summaries."""
    return SimpleNamespace(segments=[SimpleNamespace(summary=np.array(one, dtype=np.float32)) for one in summaries])


def test_a_model_says_itself_whether_it_takes_context(tiny_metadata):
    assert not takes_context(tiny_metadata)
    assert takes_context(METADATA)


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
    predictor = SimpleNamespace(with_speaker_context=lambda context: context)
    said = {"first": np.array([[1, 2], [3, 4]]), "second": np.array([[5, 6]]), "third": np.array([[90, 90]])}
    context, n_recordings = with_others(predictor, said, "third")
    assert n_recordings == 2
    np.testing.assert_allclose(context.row(), [3, 3, 4, 8 / 3, 8 / 3])  # the number, the means, the variances


def test_what_was_said_before_helps_with_what_is_said_now(open_app, tiny_checkpoint, monkeypatch, short_wav, voice):
    model = context_predictor()

    def load_context_model(file):
        return model

    def shown(prediction):
        return [(name, f"{100 * p:.2f}") for name, p in prediction.top(8)]

    monkeypatch.setattr(page, "load_model", load_context_model)
    st.cache_resource.clear()
    app = open_app(f"{OPTION}={tiny_checkpoint}")
    first, second = short_wav, wav(voice[5000:33000])
    for sound in (first, second):
        assert not app.toggle  # there is nothing yet to compare with
        app.audio_input[0].set_value(("audio.wav", sound, "audio/wav")).run()
    assert not [*app.exception, *app.error]
    assert [row[:2] for row in rows_of(app.html[0].value)] == shown(model.predict(second))
    assert "1 so far." in texts(app)
    app.toggle[0].set_value(True).run()
    expected = model.with_context([first]).predict(second)
    assert [row[:2] for row in rows_of(app.html[0].value)] == shown(expected) != shown(model.predict(second))
    assert "With 1 earlier recording of yours as context." in texts(app)
    app.toggle[0].set_value(False).run()
    assert [row[:2] for row in rows_of(app.html[0].value)] == shown(model.predict(second))
