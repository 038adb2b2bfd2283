"""The app under load: many visitors at once, one request in ten hostile, and what it costs the server.

    python soak/app_load.py [--count 1000] [--seconds 900] [--visitors 50] [--seed 0] [--json FILE]

The server is the real one with the published model, run by ONNX Runtime as where resources are few. A request is one
recording: announced, uploaded, answered; its time ends with the page's script. A visitor makes four, then leaves, and
another comes. Each answer is compared with what `Predictor` says of that file, each refusal with what `read_sound`
says; what the hostile ones do is in soak/hostile_requests.py. Streamlit keeps the sessions of visitors that have left
for two minutes: memory rises until as many are forgotten as come, and afterwards with the number of those that are
kept. So others come first, for a third of the time and not counted, and drift is judged by thirds of the requests. When
all have been made they begin anew, until the time is over.
"""

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, f"{sys.path[0]}/benchmarks")

from app_memory import watched_memory, wav_bytes
from app_server import AppServer, is_healthy, running_app
from recordings import SAMPLE_RATE, load_waveforms
from websockets.exceptions import ConnectionClosed

from app.capacity import hold_to_one_thread
from app.markdown import plain
from ser.audio.io import read_sound
from ser.errors import AudioError
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MODELS
from soak.figures import Figure, conclude, parser_of
from soak.hostile_requests import HOSTILE, breakages, misbehave
from soak.visitor import NAME, Door, Manners, Visitor, put, visiting

MODEL = MODELS / f"{DEFAULT_MODEL}.onnx"
VISITORS = 50
SOUNDS = 40
REQUESTS_A_VISIT = 4
HOSTILE_ONE_IN = 10
MOST_DRIFT = 0.05
MOST_MB = 1000.0
"""What Streamlit Community Cloud gives an app."""
LEAST_SECONDS_FOR_DRIFT = 3 * 300
"""Memory swings by a third with the pages that are kept (`rss_mb` of `--json`): thirds of two minutes each see another
part of that wave, as if it were drift; in five minutes it has gone up and down several times."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A file and what the page must say of it, or a way to misbehave.

    Attributes
    ----------
    answer : "Confidences: ..." or the sentence of the refusal.
    hostile : a name of `HOSTILE`, "broken file", or None.
    """

    content: bytes
    answer: str
    hostile: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a request ended: its time in seconds, the server's RSS in bytes then, and what was wrong or None."""

    request: Request
    seconds: float
    rss: int
    wrong: str | None


def expected_answer(predictor: Predictor, content: bytes) -> str:
    """Return what the page must say of a file."""
    try:
        sound = read_sound(content, sample_rate=predictor.metadata.features.sample_rate, name=NAME)
        overall = predictor.predict_long(sound, name=NAME).overall
    except AudioError as error:
        return plain(str(error))
    pairs = zip(overall.class_names, overall.probabilities, strict=True)
    return "Confidences: " + ", ".join(f"{name} {share:.1%}" for name, share in pairs)


def plan(count: int, *, seed: int, predictor: Predictor, hostile_one_in: int = HOSTILE_ONE_IN) -> list[Request]:
    """Return `count` requests, the same for the same seed; all ways to misbehave take turns."""
    rng = np.random.default_rng(seed)
    contents = [wav_bytes(waveform, SAMPLE_RATE) for waveform in load_waveforms(None, 2 * SOUNDS)]
    # One sound to an answer, else a mix-up of visitors would go unnoticed.
    by_answer = {expected_answer(predictor, content): content for content in contents}
    good = [Request(content=content, answer=answer) for answer, content in by_answer.items()][:SOUNDS]
    if len(good) < SOUNDS:
        raise RuntimeError(f"only {len(good)} of {len(contents)} sounds have an answer of their own")
    broken = breakages(contents[0])
    kinds = [*HOSTILE, *(["broken file"] * len(broken))]
    requests = []
    for number in range(count):
        chosen = good[int(rng.integers(SOUNDS))]
        if number % hostile_one_in == 0:
            kind = kinds[number // hostile_one_in % len(kinds)]
            content = broken[number // hostile_one_in % len(broken)] if kind == "broken file" else chosen.content
            chosen = Request(content=content, answer=expected_answer(predictor, content), hostile=kind)
        requests.append(chosen)
    return requests


def for_at_least(seconds: float, requests: Sequence[Request]) -> Iterator[Request]:
    """Yield all requests, and then from the first again until `seconds` have passed since the beginning."""
    end = time.monotonic() + seconds
    yield from requests
    for request in itertools.cycle(requests):
        if time.monotonic() >= end:
            return
        yield request


async def serve_all(server: AppServer, requests: Iterable[Request], visitors: int) -> list[Done]:
    """Make all requests, `visitors` at a time."""
    left, done = iter(requests), []

    async def stream_of_visitors() -> None:
        while batch := [request for _, request in zip(range(REQUESTS_A_VISIT), left, strict=False)]:
            await _visit(server, batch, done)

    await asyncio.gather(*(stream_of_visitors() for _ in range(visitors)))
    return done


async def _visit(server: AppServer, requests: list[Request], done: list[Done]) -> None:
    door = Door.knock(server.url)
    while requests:
        under_way: list[Request] = []
        try:
            async with visiting(door) as visitor:
                while requests:
                    request = requests.pop(0)
                    under_way = [request]
                    start = time.perf_counter()
                    wrong = await _make(request, door, visitor)
                    seconds = time.perf_counter() - start
                    under_way = []
                    done.append(Done(request=request, seconds=seconds, rss=_rss(server), wrong=wrong))
                    if request.hostile in HOSTILE:
                        break  # what it did to its page is its own affair; it comes again
        except (ConnectionClosed, OSError) as error:
            if not under_way:
                under_way = [requests.pop(0)]
            told = f"the server hung up ({type(error).__name__})"
            done += [Done(request=request, seconds=0.0, rss=_rss(server), wrong=told) for request in under_way]


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


def _rss(server: AppServer) -> int:
    try:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.partition("VmRSS:")[2].split()[0]) if "VmRSS:" in status else 0


def drift_of(done: Sequence[Done]) -> float:
    """Return by which share memory rose from the first third of the requests to the last, by medians."""
    third = max(1, len(done) // 3)
    first, last = (statistics.median(one.rss for one in part) for part in (done[:third], done[-third:]))
    return last / first - 1


def scores_of(
    done: Sequence[Done], *, visitors: int, lives: bool, peak: int, elapsed: float, command: str
) -> Iterator[Figure]:
    """Yield the lines of the report; `elapsed` is how long all requests took, in seconds."""
    wrong = sum(one.wrong is not None for one in done)
    hostile = sum(one.request.hostile is not None for one in done)
    what = f"App: {visitors} visitors at once, {len(done):,} requests, {hostile} of them hostile"

    def figure(title: str, must: str, measured: str, *, held: bool) -> Figure:
        return Figure(figure=f"{what}: {title}", must=must, measured=measured, held=held, command=command)

    yield figure("wrong or missing answers", "0", str(wrong), held=not wrong)
    yield figure("crash of the server", "none", "none" if lives else "it is gone", held=lives)
    seconds = sorted(one.seconds for one in done if one.request.hostile is None) or [0.0]
    p50, p95 = (seconds[min(len(seconds) - 1, int(share * len(seconds)))] for share in (0.5, 0.95))
    yield figure("time of a request, p50 and p95", "stated", f"{p50:.1f} s and {p95:.1f} s", held=True)
    yield figure("peak memory (RSS)", f"under {MOST_MB:.0f} MB", f"{peak / 1e6:.0f} MB", held=peak < MOST_MB * 1e6)
    if elapsed >= LEAST_SECONDS_FOR_DRIFT:
        drift = drift_of(done)
        title = "memory of the last third of the requests against the first"
        yield figure(title, f"under +{MOST_DRIFT:.0%}", f"{drift:+.1%}", held=drift < MOST_DRIFT)


def main() -> int:
    """Run the load and report."""
    parser = parser_of(__doc__, count=1000, of="requests at least")
    parser.add_argument("--seconds", type=float, default=LEAST_SECONDS_FOR_DRIFT, help="for which they come at least")
    parser.add_argument("--visitors", type=int, default=VISITORS)
    options = parser.parse_args()
    hold_to_one_thread()  # as the server does: more threads round differently
    predictor = Predictor.load(MODEL)
    requests = plan(options.count, seed=options.seed, predictor=predictor)
    pct_start = plan(options.count // 2, seed=options.seed + 1, predictor=predictor)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app(Path(folder) / "server.log", arguments=[f"checkpoint={MODEL}"]) as server,
    ):
        with watched_memory(server.process.pid) as peak:
            before = asyncio.run(serve_all(server, for_at_least(options.seconds / 3, pct_start), options.visitors))
            start = time.perf_counter()
            done = asyncio.run(serve_all(server, for_at_least(options.seconds, requests), options.visitors))
            elapsed = time.perf_counter() - start
        lives = server.process.poll() is None and is_healthy(server.url)
        log = server.log.read_text(errors="replace")
    command = "python soak/app_load.py"
    figures = list(
        scores_of(done, visitors=options.visitors, lives=lives, peak=peak.rss, elapsed=elapsed, command=command)
    )
    details = {
        "seconds": elapsed,
        "hostile": dict(Counter(one.request.hostile for one in done if one.request.hostile)),
        "wrong": [{"hostile": one.request.hostile, "why": one.wrong} for one in [*before, *done] if one.wrong][:20],
        "rss_mb": [round(one.rss / 1e6, 1) for one in done[:: max(1, len(done) // 20)]],
        "log": log[-4000:] if not all(figure.held for figure in figures) else "",
    }
    return conclude(figures, details, options.json)


if __name__ == "__main__":
    sys.exit(main())
