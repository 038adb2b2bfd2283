"""Speaker context in the server: by an id of the client's making, and in a stream."""

import json
from dataclasses import replace

import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import given, strategies
from schemathesis import GenerationMode
from starlette.testclient import WebSocketDenialResponse

from ser.features.pipeline import load_features
from ser.inference.context import SpeakerContext
from ser.server import Limits, create_app
from ser.server.batching import Batching, _Waiting
from ser.server.schemas import Predictions
from ser.server.speakers import Speakers
from tests.contexts import N_SUMMARY, context_predictor
from tests.predictions import prediction_of
from tests.server.conftest import form
from tests.server.test_openapi import BOUNDED
from tests.server.test_predict import assert_refused, assert_same_row
from tests.server.test_streaming import RATE, as_pcm, from_pcm, pause


@pytest.fixture(scope="module")
def model():
    return context_predictor()


@pytest.fixture(scope="module")
def knowing(model):
    """A client of a server whose model takes speaker context."""
    with TestClient(create_app(model, name="m"), raise_server_exceptions=False) as client:
        yield client


def answers(client, *contents, **parameters):
    answer = client.post("/v1/predict", files=form(*contents), params=parameters)
    assert answer.status_code == 200, answer.text
    Predictions.model_validate(answer.json())
    return answer.json()["results"]


def test_earlier_answers_to_an_id_are_its_context(knowing, model, sentence, encoded):
    first, second, third = (encoded(sentence(seed)) for seed in range(3))
    both = answers(knowing, first, second, speaker="anna")
    assert [row["context_size"] for row in both] == [0, 0]  # of one request none is before another
    said = [model.predict(content, single_speaker=True) for content in (first, second)]
    known = model.with_speaker_context(SpeakerContext.of_predictions(said))
    (row,) = answers(knowing, third, speaker="anna")
    expected = known.predict(third, name="0.wav", single_speaker=True)
    assert row["context_size"] == expected.context_size == sum(len(one.segments) for one in said) > 0
    assert_same_row(row, expected.to_dict())
    for other in ({}, {"speaker": "bert"}):
        (row,) = answers(knowing, third, **other)
        assert row["context_size"] == 0
        assert_same_row(row, model.predict(third, name="0.wav", single_speaker=bool(other)).to_dict())
    assert knowing.delete("/v1/speakers/anna").status_code == 204
    assert knowing.delete("/v1/speakers/nobody").status_code == 204
    assert answers(knowing, third, speaker="anna")[0]["context_size"] == 0
    assert answers(knowing, b"words", third, speaker="anna")[1]["context_size"] > 0


def test_those_with_and_without_a_speaker_share_a_batch(model, sentence, encoded):
    """Nothing of a speaker is in the answer to another."""
    batching = Batching(model, at_once=1, observe=lambda n: None)
    loaded = [load_features(encoded(sentence(seed)), settings=model.metadata.features) for seed in range(4)]
    known = SpeakerContext.of(np.random.default_rng(0).normal(-40, 5, size=(3, N_SUMMARY)))
    contexts = [None, known, None, SpeakerContext.none(N_SUMMARY)]
    waiting = [_Waiting(str(place), *pair, None) for place, pair in enumerate(zip(loaded, contexts, strict=True))]
    found = batching._predict(waiting)
    assert [(one.source, one.context_size) for one in found] == [("0", 0), ("1", 3), ("2", 0), ("3", 0)]
    for (place, recording), context, ours in zip(enumerate(loaded), contexts, found, strict=True):
        given = None if context is None else [context]
        (alone,) = model.predict_loaded([(str(place), recording)], contexts=given, single_speaker=context is not None)
        np.testing.assert_allclose(ours.probabilities, alone.probabilities, atol=1e-6)


def of_size(n):
    """A prediction of so many utterances with summaries."""
    made = prediction_of(*[np.full(8, 1 / 8)] * n)
    summary = np.ones(N_SUMMARY, dtype=np.float32)
    return replace(made, segments=tuple(replace(one, summary=summary) for one in made.segments))


def test_as_many_speakers_are_known_as_are_allowed_and_for_a_time():
    clock = [0.0]
    speakers = Speakers(N_SUMMARY, Limits(max_speakers=3, speaker_seconds=100), clock=lambda: clock[0])
    for name in "abc":
        speakers.add(name, [of_size(2)])
    speakers.add("a", [of_size(1), of_size(0)])
    speakers.add("d", [of_size(1)])  # b is the one that was used the longest ago
    assert [speakers.context_of(name).n_recordings for name in "abcd"] == [3, 0, 2, 1]
    clock[0] = 90.0
    speakers.add("c", [of_size(1)])
    clock[0] = 101.0
    assert [speakers.context_of(name).n_recordings for name in "abcd"] == [0, 0, 3, 0]
    speakers.forget("c")
    assert speakers.context_of("c").row().shape == (1 + 2 * N_SUMMARY,)
    assert len(speakers._known) == 0


@pytest.mark.parametrize("given", ["", "anna b", "a" * 129, "größe", "../x"])
def test_what_is_no_id_is_refused(knowing, sentence, encoded, given):
    answer = knowing.post("/v1/predict", files=form(encoded(sentence())), params={"speaker": given})
    assert_refused(answer, 422, "speaker is", "letters, digits, - and _")


def test_two_ids_are_none(knowing, sentence, encoded):
    answer = knowing.post("/v1/predict?speaker=a&speaker=b", files=form(encoded(sentence())))
    assert_refused(answer, 422, "speaker is 'a, b'")


def test_a_model_without_context_says_so(client, sentence, encoded):
    answer = client.post("/v1/predict", files=form(encoded(sentence())), params={"speaker": "anna"})
    assert_refused(answer, 422, "takes no speaker context", "ser-voices")
    assert_refused(client.delete("/v1/speakers/anna"), 422, "takes no speaker context")
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/v1/stream?sample_rate=16000&single_speaker=true"),
    ):
        pass
    assert_refused(refused.value, 422, "takes no speaker context")


def messages_of(client, pcm, parameters):
    with client.websocket_connect(f"/v1/stream?sample_rate={RATE}{parameters}") as socket:
        for start in range(0, len(pcm), 20_000):
            socket.send_bytes(pcm[start : start + 20_000])
        socket.send_text("end")
        messages = []
        while not messages or messages[-1]["type"] == "utterance":
            messages.append(json.loads(socket.receive_text()))
    return messages


def test_in_a_stream_of_a_single_speaker_the_utterances_so_far_are_context(knowing, model, sentence):
    pcm = as_pcm(np.concatenate([part for seed in range(3) for part in (sentence(seed), pause(1.5))]))
    *utterances, end = messages_of(knowing, pcm, "&single_speaker=true")
    assert [one["context_size"] for one in utterances] == list(range(len(utterances)))
    assert len(utterances) >= 3
    assert end["result"]["context_size"] == 0
    assert len(end["result"]["utterances"]) == len(utterances)
    for parameters in ("", "&single_speaker=false"):
        *plain, end = messages_of(knowing, pcm, parameters)
        assert [one["context_size"] for one in plain] == [0] * len(utterances)
    assert plain[0]["probabilities"] == pytest.approx(utterances[0]["probabilities"], abs=1e-6)
    assert plain[-1]["probabilities"] != pytest.approx(utterances[-1]["probabilities"], abs=1e-3)
    whole = model.predict((from_pcm(pcm), RATE), single_speaker=True)
    assert len(whole.segments) == len(utterances)
    for one, expected in zip(utterances, whole.segments, strict=True):
        by_class = dict(zip(whole.class_names, expected.probabilities.tolist(), strict=True))
        assert one["probabilities"] == pytest.approx(by_class, abs=0.05)


@pytest.mark.parametrize("given", ["yes", "1", ""])
def test_a_stream_is_told_in_two_words(knowing, given):
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        knowing.websocket_connect(f"/v1/stream?sample_rate=16000&single_speaker={given}"),
    ):
        pass
    assert_refused(refused.value, 422, "single_speaker is", "true or false")


def test_the_openapi_describes_speakers_where_there_are_any(knowing, client):
    paths = knowing.get("/openapi.json").json()["paths"]
    (parameter,) = paths["/v1/predict"]["post"]["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("speaker", "query", False)
    forget = paths["/v1/speakers/{speaker}"]["delete"]
    assert forget["responses"].keys() == {"204", "401", "422"}
    assert forget["summary"]
    assert forget["description"]
    (parameter,) = forget["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("speaker", "path", True)
    without = client.get("/openapi.json").json()["paths"]
    assert "parameters" not in without["/v1/predict"]["post"] or not without["/v1/predict"]["post"]["parameters"]
    assert "/v1/speakers/{speaker}" not in without


def test_no_request_of_a_speaker_finds_a_fault(model, sentence, encoded):
    schemathesis.openapi.format("binary", strategies.sampled_from([encoded(sentence())]))
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(model, name="m"))
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        if operation.path not in ("/v1/predict", "/v1/speakers/{speaker}"):
            continue

        @BOUNDED
        @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        def validate(case):
            case.call_and_validate()

        validate()
