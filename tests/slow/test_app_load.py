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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from app.capacity import hold_to_one_thread
from app.markdown import plain
from benchmarks.app_server import AppServer, is_healthy, running_app
from ser.audio.io import read_sound
from ser.errors import AudioError
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MODELS
from tests.slow.hostile_requests import HOSTILE, breakages, misbehave
from tests.slow.visitor import NAME, Door, Manners, Visitor, put, visiting

MODEL = MODELS / f"{DEFAULT_MODEL}.onnx"
SOUNDS = 20
BROKEN = 10
MOST_MB = 1000
"""What Streamlit Community Cloud gives an app."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A file and what the page must say of it: "Confidences: ..." or the sentence of the refusal.

    `hostile` is a name of `HOSTILE`, "broken file", or None.
    """

    content: bytes
    answer: str
    hostile: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a request ended: the server's memory in MB then, and what was wrong or None."""

    request: Request
    megabytes: float
    wrong: str | None


def expected_answer(predictor: Predictor, content: bytes) -> str:
    """Return what the page must say of a file."""
    try:
        sound = read_sound(content, sample_rate=predictor.metadata.features.sample_rate, name=NAME)
        overall = predictor.predict_long(sound, name=NAME).overall
    except AudioError as error:
        return plain(str(error))
    pairs = zip(overall.class_names, overall.probabilities, strict=True)
    return "Confidences: " + ", ".join(f"{name} {confidence:.1%}" for name, confidence in pairs)


def plan(count: int, *, hostile_one_in: int, voice_wav) -> list[Request]:
    """Return `count` requests; all ways to misbehave take turns."""
    rng, predictor = np.random.default_rng(0), Predictor.load(MODEL)
    # One sound to an answer, else a mix-up of visitors would go unnoticed.
    contents = [voice_wav(seed) for seed in range(2 * SOUNDS)]
    by_answer = {expected_answer(predictor, content): content for content in contents}
    good = [Request(content=content, answer=answer) for answer, content in by_answer.items()][:SOUNDS]
    assert len(good) == SOUNDS
    broken = [
        Request(content=content, answer=expected_answer(predictor, content), hostile="broken file")
        for content in breakages(contents[0])
    ]
    hostile = itertools.cycle([*(replace(good[0], hostile=kind) for kind in HOSTILE), *broken])
    return [next(hostile) if n % hostile_one_in == 0 else good[int(rng.integers(SOUNDS))] for n in range(count)]


def for_at_least(seconds: float, requests: Sequence[Request]) -> Iterator[Request]:
    """Yield all requests, and then from the first again until `seconds` have passed since the beginning."""
    end = time.monotonic() + seconds
    yield from requests
    yield from itertools.takewhile(lambda _: time.monotonic() < end, itertools.cycle(requests))


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
    door = Door.knock(server.url)
    while requests:
        under_way: Request | None = requests[0]
        try:
            async with visiting(door) as visitor:
                while requests:
                    request = under_way = requests[0]
                    wrong = await _make(request, door, visitor)
                    under_way = None
                    del requests[0]
                    done.append(Done(request=request, megabytes=_memory(server, "VmRSS"), wrong=wrong))
                    if request.hostile in HOSTILE:
                        break  # what it did to its page is its own affair; it comes again
        except (ConnectionClosed, OSError) as error:
            if under_way is not None:  # else it was on the way out
                del requests[0]
                done.append(Done(request=under_way, megabytes=0, wrong=f"the server hung up ({type(error).__name__})"))


async def _make(request: Request, door: Door, visitor: Visitor) -> str | None:
    try:
        if request.hostile in HOSTILE:
            return await misbehave(request.hostile, request.content, door, visitor)
        urls = await visitor.announce()
        status = await put(door, urls.upload_url, request.content, Manners())
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


@pytest.fixture(scope="module")
def load(tmp_path_factory, voice_wav, times):
    """What was asked, how it ended, and whether the server lived; one expected answer is false on purpose."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")
        hold_to_one_thread()
    is_short = times == 1
    requests = plan(2 * (len(HOSTILE) + BROKEN) * times, hostile_one_in=2 if is_short else 10, voice_wav=voice_wav)
    right = requests[-1].answer
    false = next(one.answer for one in requests if one.hostile is None and one.answer != right)
    requests[-1] = replace(requests[-1], answer=false)
    log = tmp_path_factory.mktemp("load") / "server.log"
    with running_app(log, arguments=[f"checkpoint={MODEL}"]) as server:
        if not is_short:
            serve_all(server, for_at_least(15 * times, requests[:-1]), 50)
        done = serve_all(server, for_at_least(0 if is_short else 45 * times, requests), 8 if is_short else 50)
        lives = server.process.poll() is None and is_healthy(server.url)
        peak = _memory(server, "VmHWM")
    return requests, done, lives, peak


def test_everybody_gets_the_right_answer_and_the_server_lives(load):
    requests, done, lives, peak = load
    assert lives
    assert peak < MOST_MB
    assert len(done) >= len(requests)
    assert [one.wrong for one in done if one.wrong and one.request is not requests[-1]] == []


def test_a_wrong_answer_would_be_noticed(load):
    requests, done, *_ = load
    last = next(one for one in done if one.request is requests[-1])
    assert "instead of" in last.wrong


def test_every_way_to_misbehave_was_tried(load, times):
    told = Counter(one.request.hostile for one in load[1])
    assert set(told) == {*HOSTILE, "broken file", None}
    if times == 1:
        assert told == {**dict.fromkeys(HOSTILE, 1), "broken file": BROKEN, None: len(HOSTILE) + BROKEN}
        assert len({one.request.content for one in load[1] if one.request.hostile == "broken file"}) == BROKEN


def test_memory_does_not_rise(load, times):
    if times < 20:
        pytest.skip("memory swings with the pages that are kept: only thirds of five minutes can be compared")
    memory = [one.megabytes for one in load[1]]
    third = len(memory) // 3
    assert statistics.median(memory[-third:]) < 1.05 * statistics.median(memory[:third])
