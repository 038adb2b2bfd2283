"""The short form of soak/app_load.py: every way to misbehave, among visitors who get their answers."""

import asyncio
import itertools
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from app.capacity import hold_to_one_thread
from benchmarks.app_server import is_healthy, running_app
from ser.inference.predictor import Predictor
from soak.app_load import MODEL, Done, drift_of, for_at_least, plan, scores_of, serve_all
from soak.hostile_requests import HOSTILE, breakages

pytestmark = pytest.mark.timeout(600)

BROKEN = 10


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """What was asked, how it ended, and whether the server lived; one expected answer is false on purpose."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")
        hold_to_one_thread()
    requests = plan(2 * (len(HOSTILE) + BROKEN), seed=0, predictor=Predictor.load(MODEL), hostile_one_in=2)
    right = requests[-1].answer
    false = next(one.answer for one in requests if one.hostile is None and one.answer != right)
    requests[-1] = replace(requests[-1], answer=false)
    log = tmp_path_factory.mktemp("load") / "server.log"
    with running_app(log, arguments=[f"checkpoint={MODEL}"]) as server:
        # In a thread of its own: tests in a browser leave an event loop running in the thread of the tests.
        with ThreadPoolExecutor(1) as own:
            done = own.submit(asyncio.run, serve_all(server, requests, 8)).result()
        lives = server.process.poll() is None and is_healthy(server.url)
    return requests, done, lives


def test_everybody_gets_the_right_answer_and_the_server_lives(load):
    requests, done, lives = load
    assert lives
    assert len(done) == len(requests)
    assert [one.wrong for one in done if one.wrong and one.request is not requests[-1]] == []


def test_a_wrong_answer_would_be_noticed(load):
    requests, done, _ = load
    (last,) = [one for one in done if one.request is requests[-1]]
    assert "instead of" in last.wrong


def test_every_way_to_misbehave_was_tried(load):
    told = Counter(one.request.hostile for one in load[1])
    assert told == {**dict.fromkeys(HOSTILE, 1), "broken file": BROKEN, None: len(HOSTILE) + BROKEN}
    assert len(breakages(b"RIFF" + bytes(40) + b"data" + bytes(400))) == BROKEN


def test_the_load_goes_on_until_its_time_is_over(monkeypatch):
    clock = itertools.count()  # a second a look
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert list(for_at_least(0, "abc")) == ["a", "b", "c"]
    assert list(for_at_least(5, "abc")) == [*"abc", *"abca"]


def test_drift_and_wrong_answers_are_told(load):
    request = load[0][1]
    done = [Done(request=request, seconds=n, rss=1000 + n, wrong=None) for n in range(3000)]
    assert drift_of(done) == pytest.approx(3499.5 / 1499.5 - 1)
    figures = list(scores_of(done, visitors=50, lives=True, peak=10**6, elapsed=1000, command="c"))
    assert [figure.held for figure in figures] == [True, True, True, True, False]
    assert "1500.0 s and 2850.0 s" in figures[2].measured
    wrong = [*done[:-1], replace(done[-1], wrong="it was")]
    bad = scores_of(wrong, visitors=50, lives=False, peak=2 * 10**9, elapsed=1000, command="c")
    assert [figure.held for figure in bad] == [False, False, True, False, False]


def test_a_run_too_short_for_drift_says_nothing_of_it(load):
    done = [Done(request=load[0][1], seconds=1, rss=1000 + n, wrong=None) for n in range(3000)]
    told = [
        [figure.figure for figure in scores_of(done, visitors=50, lives=True, peak=1, elapsed=elapsed, command="c")]
        for elapsed in (899, 901)
    ]
    assert [any("last third" in figure for figure in figures) for figures in told] == [False, True]
