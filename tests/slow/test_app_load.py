"""The app under load: visitors at once, half of the requests hostile, and each answer compared with `Predictor`'s.

The server is the real one with the pretrained model, run by ONNX Runtime. A request is one recording: announced,
uploaded, answered. A visitor makes four, then leaves, and another comes. With `SER_SOAK` above 1 there are more
visitors at once, fewer of them hostile, and the server's memory must not rise from the first third to the last:
Streamlit keeps what visitors who have left had on their page for two minutes, so others come first, for a third of
the time.
"""

import asyncio
import itertools
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from websockets.exceptions import ConnectionClosed

from app.capacity import hold_to_one_thread
from app.markdown import plain
from benchmarks.app_server import AppServer, is_healthy, running_app
from ser.errors import AudioError
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MODELS
from tests.slow.hostile_requests import HOSTILE, misbehave
from tests.slow.hostile_sounds import hostile_sound
from tests.slow.visitor import NAME, Door, Visitor, put, visiting

MODEL = MODELS / f"{DEFAULT_MODEL}.onnx"
SOUNDS, BROKEN = 20, 10
MOST_MB = 1000  # what Streamlit Community Cloud gives an app


class Request(NamedTuple):
    """A file, and what the page must say of it: "Confidences: ..." or the sentence of the refusal.

    `hostile` is a name of `HOSTILE`, "broken file", or None.
    """

    content: bytes
    answer: str
    hostile: str | None = None


class Done(NamedTuple):
    """How a request ended: what was wrong or None, and the server's memory in MB then."""

    request: Request
    wrong: str | None
    megabytes: float = 0.0


def expected_answer(predictor: Predictor, content: bytes) -> str:
    """Return what the page must say of a file; "" where there is no speech in it."""
    try:
        prediction = predictor.predict(content, name=NAME)
    except AudioError as error:
        return plain(str(error))
    if prediction.probabilities is None:
        return ""
    ranked = prediction.top(len(prediction.class_names))
    return "Confidences: " + ", ".join(f"{name} {100 * p:.2f}%" for name, p in ranked)


def plan(count: int, *, hostile_one_in: int, voice_wav) -> list[Request]:
    """Return `count` requests; all ways to misbehave take turns."""
    rng, predictor = np.random.default_rng(0), Predictor.load(MODEL)
    # One sound to an answer, else a mix-up of visitors would go unnoticed.
    contents = [voice_wav(seed) for seed in range(2 * SOUNDS)]
    by_answer = {expected_answer(predictor, content): content for content in contents}
    good = [Request(content, answer) for answer, content in by_answer.items() if answer][:SOUNDS]
    assert len(good) == SOUNDS
    hostile = [good[0]._replace(hostile=kind) for kind in HOSTILE]
    sounds = (b"words", contents[0][:40], bytes(99_999), *(hostile_sound(6, place).content for place in range(99)))
    broken = (Request(sound, expected_answer(predictor, sound), "broken file") for sound in sounds)
    refused = (one for one in broken if one.answer and not one.answer.startswith("Confidences"))
    turns = itertools.cycle([*hostile, *itertools.islice(refused, BROKEN)])
    return [next(turns) if n % hostile_one_in == 0 else good[int(rng.integers(SOUNDS))] for n in range(count)]


def for_at_least(seconds: float, requests: Sequence[Request]) -> Iterator[Request]:
    """Return all requests, and then from the first again until `seconds` have passed since the beginning."""
    end = time.monotonic() + seconds
    return itertools.chain(requests, itertools.takewhile(lambda _: time.monotonic() < end, itertools.cycle(requests)))


def serve_all(server: AppServer, requests: Iterable[Request], visitors: int) -> list[Done]:
    """Make all requests, `visitors` at a time."""
    left, done = iter(requests), []

    async def stream_of_visitors() -> None:
        while batch := list(itertools.islice(left, 4)):
            await _visit(server, batch, done)

    async def all_streams() -> None:
        await asyncio.gather(*(stream_of_visitors() for _ in range(visitors)))

    # In a thread of its own: tests in a browser leave an event loop running in the thread of the tests.
    with ThreadPoolExecutor(1) as own:
        own.submit(asyncio.run, all_streams()).result()
    return done


async def _visit(server: AppServer, requests: list[Request], done: list[Done]) -> None:
    door = Door(server.url)
    while requests:
        is_under_way = True
        try:
            async with visiting(door) as visitor:
                while requests:
                    is_under_way = True
                    wrong = await _make(requests[0], door, visitor)
                    is_under_way = False
                    done.append(Done(requests.pop(0), wrong, _memory(server, "VmRSS")))
                    if done[-1].request.hostile in HOSTILE:
                        break  # what it did to its page is its own affair; it comes again
        except (ConnectionClosed, OSError) as error:
            if is_under_way:  # else it was on the way out
                done.append(Done(requests.pop(0), f"the server hung up ({type(error).__name__})"))


async def _make(request: Request, door: Door, visitor: Visitor) -> str | None:
    try:
        if request.hostile in HOSTILE:
            return await misbehave(request.hostile, request.content, door, visitor)
        urls = await visitor.announce()
        status = await put(door, urls.upload_url, request.content)
        if status != 204:
            return f"the upload was answered with {status}"
        await visitor.show(urls, size=len(request.content))
    except TimeoutError:
        return "no answer in time"
    answer = visitor.confidences() or "; ".join(visitor.alerts())
    return None if answer == request.answer else f"{answer!r} instead of {request.answer!r}"


def _memory(server: AppServer, field: str) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1000 if field in status else 0.0


def test_everybody_gets_the_right_answer_and_the_server_lives(tmp_path, voice_wav, times, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    hold_to_one_thread()
    is_short = times == 1
    requests = plan(2 * (len(HOSTILE) + BROKEN) * times, hostile_one_in=2 if is_short else 10, voice_wav=voice_wav)
    # The last expects another's answer, to show that a wrong one is noticed.
    false = next(one.answer for one in requests if one.hostile is None and one.answer != requests[-1].answer)
    requests[-1] = requests[-1]._replace(answer=false)
    with running_app(tmp_path / "server.log", arguments=[f"--model={MODEL}"]) as server:
        if not is_short:
            serve_all(server, for_at_least(15 * times, requests[:-1]), 50)
        done = serve_all(server, for_at_least(0 if is_short else 45 * times, requests), 8 if is_short else 50)
        assert server.process.poll() is None
        assert is_healthy(server.url)
        assert _memory(server, "VmHWM") < MOST_MB
    assert len(done) >= len(requests)
    assert [one.wrong for one in done if one.wrong and one.request != requests[-1]] == []
    assert all("instead of" in one.wrong for one in done if one.request == requests[-1])
    made = Counter(one.request.hostile for one in done)
    assert set(made) == {*HOSTILE, "broken file", None}
    if is_short:
        assert made == {**dict.fromkeys(HOSTILE, 1), "broken file": BROKEN, None: len(HOSTILE) + BROKEN}
        assert len({one.request.content for one in done if one.request.hostile == "broken file"}) == BROKEN
    if times >= 20:  # memory swings with the pages that are kept: only thirds of five minutes can be compared
        memory = [one.megabytes for one in done]
        third = len(memory) // 3
        assert statistics.median(memory[-third:]) < 1.05 * statistics.median(memory[:third])
