import json
import struct
from itertools import pairwise

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from ser.audio.utterances import SURROUNDINGS
from ser.server import Limits, create_app
from ser.server.streaming import SpeechStream, recording_of

RATE = 22_050


def as_pcm(wave):
    return (np.clip(wave, -1, 1) * 32_767).astype("<i2").tobytes()


def from_pcm(pcm):
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32_768


def pause(seconds):
    return np.random.default_rng(0).normal(scale=1e-4, size=round(seconds * RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def talk(sentence):
    """16-bit sound of four sentences with pauses of a second and a half, 22,050 Hz."""
    parts = [part for seed in range(4) for part in (sentence(seed), pause(1.5))]
    return as_pcm(np.concatenate([pause(0.6), *parts]))


def feed(stream, pcm, size):
    """Return the utterances, each with the seconds of sound that had come by then."""
    found = []
    for start in range(0, len(pcm), size):
        found += [(one, stream.duration) for one in stream.feed(pcm[start : start + size])]
    return found


def test_utterances_are_those_of_the_whole_recording_and_come_soon_after_their_pause(onnx_predictor, talk):
    whole = onnx_predictor.predict((from_pcm(talk), RATE))
    stream = SpeechStream(onnx_predictor.metadata.features, sample_rate=RATE)
    found = feed(stream, talk, 2 * 220)
    assert len(found) == len(whole.segments) == 4
    for (one, moment), expected in zip(found, whole.segments, strict=True):
        assert (one.start, one.end) == pytest.approx((expected.start, expected.end), abs=0.05)
        assert moment - one.end < 0.5  # half a second of pause belongs to the utterance
    assert stream.finish() == []
    recording = recording_of([one for one, _ in found], stream=stream)
    prediction = onnx_predictor.predict_loaded([("stream", recording)])[0]
    assert prediction.emotion == whole.emotion
    np.testing.assert_allclose(prediction.probabilities, whole.probabilities, atol=0.02)
    assert (prediction.speech, prediction.duration) == pytest.approx((whole.speech, whole.duration), abs=0.2)


def test_how_the_sound_is_cut_into_messages_changes_nothing(onnx_predictor, talk):
    talk = talk[: 12 * RATE]
    expected = None
    for size in (len(talk), 2_001):
        stream = SpeechStream(onnx_predictor.metadata.features, sample_rate=16_000)
        found = [one for one, _ in feed(stream, talk, size)] + stream.finish()
        shown = [(one.start, one.end, one.features.tobytes()) for one in found]
        assert shown
        assert expected is None or shown == expected
        expected = shown


def test_a_short_sound_without_a_pause_goes_in_whole(onnx_predictor, sentence):
    pcm = as_pcm(sentence(2))
    stream = SpeechStream(onnx_predictor.metadata.features, sample_rate=RATE)
    assert feed(stream, pcm, 4_000) == []
    recording = recording_of(stream.finish(), stream=stream)
    prediction = onnx_predictor.predict_loaded([("stream", recording)])[0]
    assert prediction.to_dict() == onnx_predictor.predict((from_pcm(pcm), RATE), name="stream").to_dict()


@pytest.mark.parametrize("pcm", [b"", b"\1", bytes(2_000), bytes(400_000), as_pcm(pause(3))])
def test_without_speech_there_is_no_utterance(onnx_predictor, pcm):
    stream = SpeechStream(onnx_predictor.metadata.features, sample_rate=RATE)
    assert feed(stream, pcm, 5_000) == []
    assert stream.finish() == []


def test_a_voice_without_pauses_is_answered_as_it_goes_on_and_memory_is_bounded(onnx_predictor, sentence):
    voice = np.concatenate([sentence(seed)[4_000:-4_000] for seed in range(24)])
    stream = SpeechStream(onnx_predictor.metadata.features, sample_rate=RATE)
    found = feed(stream, as_pcm(voice), 20_000)
    seconds = len(voice) / RATE
    assert seconds > 25
    assert len(found) > 3
    assert max(moment - one.start for one, moment in found) < 20
    assert len(stream._buffer) < 30 * RATE
    found = [one for one, _ in found] + stream.finish()
    for one, other in pairwise(found):
        assert other.start > one.end - SURROUNDINGS - 1e-3  # which may prove to be speech
    spoken = sum(one.end - one.start for one in found)
    assert 0.8 * seconds < spoken < 1.05 * seconds
    assert stream.speech == pytest.approx(onnx_predictor.predict((voice, RATE)).speech, rel=0.15)


def test_hours_of_silence_take_no_memory(onnx_predictor):
    stream = SpeechStream(onnx_predictor.metadata.features, sample_rate=8_000)
    feed(stream, bytes(2 * 8_000 * 120), 2 * 8_000 * 20)
    assert len(stream._buffer) < 30 * RATE
    assert stream.duration == 120


def stream_to(client, pcm, *, size=20_000):
    """Return what the server sends while `pcm` and then the end are sent."""
    with client.websocket_connect(f"/v1/stream?sample_rate={RATE}") as socket:
        for start in range(0, len(pcm), size):
            socket.send_bytes(pcm[start : start + size])
        socket.send_text("end")
        messages = []
        while not messages or messages[-1]["type"] == "utterance":
            messages.append(json.loads(socket.receive_text()))
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1000
    return messages


def test_a_client_gets_each_utterance_and_at_the_end_all_of_it(client, onnx_predictor, talk):
    *utterances, end = stream_to(client, talk)
    expected = onnx_predictor.predict((from_pcm(talk), RATE)).to_dict()
    assert len(utterances) == 4
    for one, other in zip(utterances, expected["utterances"], strict=True):
        assert one.keys() == {"type", *other}
        assert one["emotion"] == other["emotion"]
    assert end["type"] == "end"
    assert end["result"].keys() == expected.keys()
    assert [{"type": "utterance", **one} for one in end["result"]["utterances"]] == utterances
    assert end["result"]["emotion"] == expected["emotion"]


def test_two_streams_at_one_time_do_not_mix(client, talk, sentence):
    other = as_pcm(sentence(5))
    alone = stream_to(client, other)
    with client.websocket_connect(f"/v1/stream?sample_rate={RATE}") as socket:
        socket.send_bytes(talk[:100_000])
        assert stream_to(client, other) == alone
        socket.send_text("end")
        assert json.loads(socket.receive_text())["type"] in ("utterance", "end")


def test_a_stream_without_sound_ends_without_emotion(client):
    (end,) = stream_to(client, b"")
    assert (end["result"]["status"], end["result"]["emotion"]) == ("no speech found", None)


@pytest.mark.parametrize("rate", ["", "x", "0", "-16000", "3999", "192001", "16000.5", "²", "9" * 5000])
def test_a_rate_that_cannot_be_is_refused(client, rate):
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(f"/v1/stream?sample_rate={rate}"):
        pass
    assert denied.value.status_code == 422
    assert "sample_rate is" in denied.value.json()["detail"]


@pytest.fixture
def limited(onnx_predictor):
    limits = Limits(max_streams=1, max_message_bytes=1_000, stream_seconds=1.0, idle_seconds=0.3)
    with TestClient(create_app(onnx_predictor, name="m", limits=limits, api_key="key")) as client:
        client.headers["authorization"] = "Bearer key"
        yield client


def test_what_a_client_should_not_do_ends_its_stream_with_a_sentence(limited):
    for act, code, words in (
        (lambda socket: socket.send_text("stop"), 1003, "binary messages"),
        (lambda socket: socket.send_bytes(bytes(1_001)), 1009, "0 KiB at most"),
        (lambda socket: [socket.send_bytes(bytes(1_000)) for _ in range(20)], 1008, "lasts 1 s at most"),
        (lambda socket: None, 1008, "Nothing was sent"),
    ):
        with limited.websocket_connect("/v1/stream?sample_rate=8000") as socket:
            act(socket)
            message = json.loads(socket.receive_text())
            assert message["type"] == "error"
            assert words in message["detail"]
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            assert closed.value.code == code


def test_streams_are_bounded_and_need_the_key(limited):
    with limited.websocket_connect("/v1/stream?sample_rate=8000"):
        with pytest.raises(WebSocketDenialResponse) as denied, limited.websocket_connect("/v1/stream?sample_rate=8000"):
            pass
        assert denied.value.status_code == 503
        assert denied.value.headers["retry-after"]
    for _ in range(2):  # the place was given back
        with limited.websocket_connect("/v1/stream?sample_rate=8000") as socket:
            socket.send_text("end")
            assert json.loads(socket.receive_text())["type"] == "end"
    limited.headers["authorization"] = "Bearer other"
    with pytest.raises(WebSocketDenialResponse) as denied, limited.websocket_connect("/v1/stream?sample_rate=8000"):
        pass
    assert denied.value.status_code == 401


def test_samples_are_little_endian_and_an_odd_byte_waits(onnx_predictor):
    stream = SpeechStream(onnx_predictor.metadata.features, sample_rate=RATE)
    pcm = struct.pack("<3h", 1, -2, 32_767)
    stream.feed(pcm[:3])
    stream.feed(pcm[3:])
    np.testing.assert_array_equal(stream._arrived * 32_768, [1, -2, 32_767])
