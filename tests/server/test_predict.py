import asyncio
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ser.errors import AudioError
from ser.server import Limits, create_app
from ser.server.schemas import Predictions, Problem
from tests.server.conftest import form


def assert_refused(answer, status, *words):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate(answer.json())
    assert problem.status == status
    for word in words:
        assert word in problem.detail


def assert_same_row(row, expected):
    """The rows agree, their numbers to 1e-6."""
    assert row.keys() == expected.keys()
    for key, value in expected.items():
        if key == "utterances":
            for one, other in zip(row[key], value, strict=True):
                assert_same_row(one, other)
        elif isinstance(value, dict):
            assert row[key] == pytest.approx(value, abs=1e-6)
        else:
            assert row[key] == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value)


@pytest.fixture
def limited(onnx_predictor):
    """Start a server within limits."""
    started = []

    def start(api_key=None, **limits):
        app = create_app(onnx_predictor, name="ser-ravdess", limits=Limits(**limits), api_key=api_key)
        started.append(TestClient(app, raise_server_exceptions=False).__enter__())
        return started[-1]

    yield start
    for client in started:
        client.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("format", "subtype"), [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_24"), ("OGG", "VORBIS")]
)
def test_an_answer_is_that_of_the_predictor(client, onnx_predictor, sentence, encoded, format, subtype):
    content = encoded(sentence(), format, subtype)
    answer = client.post("/v1/predict", files=form(content, names=["hello.wav"]))
    assert answer.status_code == 200
    body = answer.json()
    assert body["model"] == {"name": "ser-ravdess", "fingerprint": onnx_predictor.fingerprint}
    (row,) = body["results"]
    assert row["status"] == "speech"
    assert_same_row(row, onnx_predictor.predict(content, name="hello.wav").to_dict())


def test_many_files_are_answered_in_their_order_and_the_unreadable_among_them_say_why(
    client, onnx_predictor, sentence, encoded
):
    pause = np.zeros(22_050, dtype=np.float32)
    hum = 0.1 * np.sin(2 * np.pi * 220 * np.arange(40_000) / 22_050)
    long = np.concatenate([part for seed in range(4) for part in (sentence(seed), pause)])
    waves = [sentence(3), hum, long, sentence(1)]
    contents = [*map(encoded, waves), b"words", b""]
    answer = client.post("/v1/predict", files=form(*contents))
    assert answer.status_code == 200
    Predictions.model_validate(answer.json())  # which forbids what it does not name
    *rows, words, empty = answer.json()["results"]
    for place, (row, content) in enumerate(zip(rows, contents, strict=False)):
        assert_same_row(row, onnx_predictor.predict(content, name=f"{place}.wav").to_dict())
    assert [row["status"] for row in rows] == ["speech", "no speech found", "speech", "speech"]
    assert len(rows[2]["utterances"]) >= 3
    assert empty == {"file": "5.wav", "error": "5.wav is empty."}
    with pytest.raises(AudioError) as error:
        onnx_predictor.predict(b"words", name="4.wav")
    assert words == {"file": "4.wav", "error": str(error.value)}


def test_requests_at_one_time_share_batches_and_each_gets_its_own_answer(limited, onnx_predictor, sentence, encoded):
    client = limited(at_once=2)
    contents = [encoded(sentence(seed)) for seed in range(6)]
    answers = {}

    def ask(place):
        answers[place] = client.post("/v1/predict", files=form(contents[place], names=["same.wav"])).json()

    threads = [threading.Thread(target=ask, args=[place]) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [answers[place]["results"][0] for place in range(6)]
    for row, content in zip(rows, contents, strict=True):
        assert_same_row(row, onnx_predictor.predict(content, name="same.wav").to_dict())
    assert len({tuple(row["probabilities"].values()) for row in rows}) == 6


def test_what_cannot_be_read_is_refused_with_its_sentence(client):
    answer = client.post("/v1/predict", files=form(b"words", names=["a\nb.wav"]))
    assert_refused(answer, 422, "cannot be read as sound: it is no sound file of a kind that is known")
    assert_refused(client.post("/v1/predict", files=form(b"", b"")), 422, "0.wav is empty. 1.wav is empty.")


BOUNDARY = {"content-type": "multipart/form-data; boundary=b"}
SCOPE = {
    "type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"", "http_version": "1.1",
    "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
}  # fmt: skip
PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nwords\r\n'


@pytest.mark.parametrize(
    ("status", "words", "request_"),
    [
        (415, "should be a form", {"json": {}}),
        (415, "should be a form", {"content": b"RIFF", "headers": {"content-type": "audio/wav"}}),
        (415, "should be a form", {}),
        (400, "field 'file'; send each recording", {"files": {"file": b"1"}}),
        (400, "holds more than files", {"files": {"files": b"1"}, "data": {"more": "text"}}),
        (400, "holds more than files", {"files": {"files": (None, b"text")}}),
        (400, "no file", {"content": b"--b--\r\n", "headers": BOUNDARY}),
        (400, "cut short", {"content": PART, "headers": BOUNDARY}),
        (400, "cut short", {"content": PART[:-3], "headers": BOUNDARY}),
        (400, "cut short", {"content": b"", "headers": BOUNDARY}),
        (400, "Invalid multipart", {"content": b"nonsense", "headers": BOUNDARY}),
        (400, "boundary", {"content": PART + b"--b--\r\n", "headers": {"content-type": "multipart/form-data"}}),
        (413, "more than 32 files", {"files": form(*[b"1"] * 33)}),
    ],
)  # fmt: skip
def test_a_body_that_is_no_form_of_files_is_refused(client, status, words, request_):
    assert_refused(client.post("/v1/predict", **request_), status, words)


def test_too_much_is_refused(limited, sentence, encoded):
    content = encoded(sentence())
    client = limited(max_file_bytes=len(content), max_request_bytes=2 * len(content))
    assert client.post("/v1/predict", files=form(content)).status_code == 200
    assert_refused(client.post("/v1/predict", files=form(content + b"0")), 413, "0.wav has ", "can be read")
    assert_refused(client.post("/v1/predict", files=form(content, content)), 413, "body has more")

    def unstated():
        yield b"--b\r\n"
        yield from [bytes(2**16)] * 100

    assert_refused(client.post("/v1/predict", content=unstated(), headers=BOUNDARY), 413, "body has more")
    assert client.post("/v1/predict", files=form(content)).status_code == 200


@pytest.mark.parametrize("limits", [{"max_requests": 0}, {"max_held_bytes": 1000}, {"request_seconds": 0.0}])
def test_a_server_without_room_says_when_to_try_again(limited, sentence, encoded, limits):
    client = limited(**limits)
    for _ in range(3):  # nothing stays taken
        answer = client.post("/v1/predict", files=form(encoded(sentence())))
        assert_refused(answer, 503, "try")
        assert int(answer.headers["retry-after"]) > 0
    assert client.get("/healthz").status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(onnx_predictor):
    app = create_app(onnx_predictor, name="m", limits=Limits(upload_seconds=0.05))
    sent = []

    async def receive():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    asyncio.run(app(SCOPE, receive, send))
    assert sent[0]["status"] == 408


def test_work_for_who_has_left_is_stopped(onnx_predictor, monkeypatch):
    stopped = []

    async def never(self, content, *, name, context):
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(name)

    monkeypatch.setattr("ser.server.batching.Batching.predict", never)
    app = create_app(onnx_predictor, name="m", limits=Limits(request_seconds=30))
    messages = [{"type": "http.request", "body": PART + b"--b--\r\n"}, {"type": "http.disconnect"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    async def ask():
        async with app.router.lifespan_context(app):
            await app(SCOPE, receive, send)

    asyncio.run(asyncio.wait_for(ask(), 20))
    assert stopped == ["a.wav"]
    assert sent[0]["status"] == 400


def test_no_upload_is_written_to_the_disk(client, sentence, encoded, monkeypatch):
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", None)
    content = encoded(np.tile(sentence(), 20))
    assert len(content) > 2**20  # which Starlette keeps in memory by itself
    assert client.post("/v1/predict", files=form(content)).status_code == 200


def test_a_fault_of_ours_tells_nothing(limited, monkeypatch, sentence, encoded):
    client = limited()
    monkeypatch.setattr("ser.server.batching.load_features", lambda *_, **__: 1 / 0)
    answer = client.post("/v1/predict", files=form(encoded(sentence())))
    assert_refused(answer, 500, "Something went wrong on the server")
    assert "division" not in answer.text


def test_a_fault_of_the_network_ends_no_other_request(limited, monkeypatch, onnx_predictor, sentence, encoded):
    client, content = limited(), encoded(sentence())
    with monkeypatch.context() as broken:
        broken.setattr(onnx_predictor, "scorer", lambda *_: 1 / 0)
        assert_refused(client.post("/v1/predict", files=form(content)), 500)
    assert client.post("/v1/predict", files=form(content)).status_code == 200
    assert client.get("/healthz").json() == {"status": "ok"}


KEY = "a key of the right length"


@pytest.mark.parametrize("header", [None, "", KEY, f"Basic {KEY}", "Bearer", f"Bearer {KEY}x", "Bearer clé"])
def test_without_the_key_nothing_is_answered_and_no_body_read(limited, header):
    client = limited(api_key=KEY, max_held_bytes=0)
    headers = {} if header is None else {"authorization": header.encode()}
    for method, path in (("POST", "/v1/predict"), ("GET", "/v1/models"), ("GET", "/metrics")):
        answer = client.request(method, path, headers=headers, files=form(b"1") if method == "POST" else None)
        assert_refused(answer, 401, "API key")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/healthz", headers=headers).status_code == 200


def test_with_the_key_everything_is_answered(limited, sentence, encoded):
    client = limited(api_key=KEY)
    headers = {"authorization": f"Bearer {KEY}"}
    assert client.post("/v1/predict", files=form(encoded(sentence())), headers=headers).status_code == 200
    assert client.get("/v1/models", headers=headers).status_code == 200
    assert client.get("/metrics", headers=headers).status_code == 200


def test_the_model_is_described(client, onnx_predictor):
    (model,) = client.get("/v1/models").json()["models"]
    metadata = onnx_predictor.metadata
    assert (model["name"], model["fingerprint"]) == ("ser-ravdess", onnx_predictor.fingerprint)
    assert tuple(model["class_names"]) == metadata.class_names
    assert model["window"] == pytest.approx(metadata.features.duration)
    assert model["scores"]["uar"] == metadata.recipe_scores.uar


def test_requests_are_counted_and_logged_without_names(limited, sentence, encoded, caplog):
    client, content = limited(), encoded(sentence())
    caplog.set_level("INFO", logger="ser.server")
    client.post("/v1/predict", files=form(content, b"words", names=["my diary.wav", "my diary 2.wav"]))
    client.post("/v1/predict")
    client.get("/diary%0A")
    client.request("DIARY", "/healthz")
    text = client.get("/metrics").text
    for line in (
        'ser_requests_total{method="POST",path="/v1/predict",status="200"} 1.0',
        'ser_requests_total{method="POST",path="/v1/predict",status="415"} 1.0',
        'ser_requests_total{method="GET",path="other",status="404"} 1.0',
        'ser_requests_total{method="other",path="/healthz",status="405"} 1.0',
        'ser_recordings_total{status="speech"} 1.0',
        'ser_recordings_total{status="unreadable"} 1.0',
        "ser_batch_utterances_count 1.0",
        "ser_requests_in_work 0.0",
    ):
        assert line in text, text
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("ser.server")]
    assert len(lines) == 5
    assert re.fullmatch(r"POST /v1/predict 200 \d+ ms", lines[0])
    assert "diary" not in caplog.text.lower()


def test_no_torch_is_imported(tmp_path, sentence, encoded):
    path = tmp_path / "hello.wav"
    path.write_bytes(encoded(sentence()))
    program = (
        "import sys\nfrom pathlib import Path\nfrom fastapi.testclient import TestClient\n"
        "from ser.inference.predictor import Predictor\nfrom ser.server import create_app\n"
        "with TestClient(create_app(Predictor.load('ser-ravdess'), name='m')) as client:\n"
        "    answer = client.post('/v1/predict', files={'files': Path(sys.argv[1]).read_bytes()})\n"
        "heavy = {'torch', 'lightning', 'hydra', 'omegaconf', 'sklearn', 'pandas', 'librosa', 'streamlit', 'scipy'}\n"
        "print(answer.status_code, heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "200 set()"
