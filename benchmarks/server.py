"""The web server under load, beside the bare predictor; and how soon a stream is answered.

    python benchmarks/server.py [--root <RAVDESS>] [--seconds 10]

The server is `ser serve` in a process of its own; this process sends recordings of 4 s at even times, whether or not
the earlier ones are answered. The rate rises until 95% are no longer answered within 200 ms. A stream is sent as a
microphone would send it; an utterance ends when half a second of pause has been sent.
"""

import argparse
import asyncio
import io
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from app_server import free_port, serving
from machine import hardware, state
from recordings import SAMPLE_RATE, importing_ser, load_waveforms
from websockets.asyncio.client import connect

from ser.inference.predictor import Predictor

SECONDS = 4
COUNT = 20
RATES = (20, 40, 60, 80, 100, 120, 140, 160, 180, 200)
MOST_MS = 200.0
_CHUNK = 0.02


def content_of(wave: np.ndarray) -> bytes:
    """Return the first 4 s, or the whole repeated up to them, as a 16-bit WAV file."""
    file = io.BytesIO()
    samples = np.tile(wave, -(-SECONDS * SAMPLE_RATE // len(wave)))[: SECONDS * SAMPLE_RATE]
    soundfile.write(file, samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def request_of(content: bytes) -> bytes:
    """Return a whole request with that file."""
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n' + content + b"\r\n--b--\r\n"
    head = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    return f"{head}Content-Length: {len(part)}\r\nConnection: close\r\n\r\n".encode() + part


def cpu_seconds(url: str) -> float:
    """Return the seconds of the processor that the server has taken, by its own account."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:  # noqa: S310 - our own http address
        line = next(
            line for line in answer.read().decode().splitlines() if line.startswith("process_cpu_seconds_total")
        )
    return float(line.split()[1])


async def _ask(port: int, request: bytes, emotion: str, due: float) -> float:
    """Send a request when it is due; return the milliseconds from then to its answer, which has to be right."""
    await asyncio.sleep(max(due - time.perf_counter(), 0))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    milliseconds = 1000 * (time.perf_counter() - due)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return float("inf")  # turned away
    if json.loads(body)["results"][0]["emotion"] != emotion:
        raise RuntimeError(f"the server answers {body!r} instead of {emotion}")
    return milliseconds


async def load(port: int, requests: Sequence[tuple[bytes, str]], *, rate: float, seconds: float) -> dict[str, float]:
    """Return percentiles of the milliseconds of requests that are sent at an even rate."""
    start = time.perf_counter() + 0.1
    places = range(round(rate * seconds))
    asked = (_ask(port, *requests[place % len(requests)], start + place / rate) for place in places)
    times = await asyncio.gather(*asked)
    p50, p95, p99 = np.percentile(times, (50, 95, 99), method="higher")
    return {"requests/s": rate, "p50, ms": p50, "p95, ms": p95, "p99, ms": p99}


async def stream_delays(port: int, waves: Sequence[np.ndarray]) -> list[float]:
    """Return the milliseconds from the end of each utterance of sound, sent at the pace of speech, to its answer."""
    noise = np.random.default_rng(0).normal(scale=1e-4, size=round(1.2 * SAMPLE_RATE))
    samples = np.concatenate([part for wave in waves for part in (wave, noise)])
    pcm = (np.clip(samples, -1, 1) * 32_767).astype("<i2")
    step, delays = round(_CHUNK * SAMPLE_RATE), []
    async with connect(f"ws://127.0.0.1:{port}/v1/stream?sample_rate={SAMPLE_RATE}") as socket:
        begin = time.perf_counter()

        async def listen() -> None:
            async for message in socket:
                answer = json.loads(message)
                if answer["type"] == "utterance":
                    delays.append(1000 * (time.perf_counter() - begin - answer["end"]))

        listening = asyncio.create_task(listen())
        for place, first in enumerate(range(0, len(pcm), step), start=1):
            await asyncio.sleep(max(begin + place * _CHUNK - time.perf_counter(), 0))  # it has to be spoken first
            await socket.send(pcm[first : first + step].tobytes())
        await socket.send("end")
        await listening
    return delays


def main() -> dict[str, Any]:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("RAVDESS_ROOT")
    parser.add_argument("--root", type=Path, default=Path(default) if default else None, help="the corpus")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load at each rate")
    options = parser.parse_args()
    waves = load_waveforms(options.root, COUNT)
    contents, predictor = [content_of(wave) for wave in waves], Predictor.load()
    emotions = [str(predictor.predict(content).emotion) for content in contents]
    started, started_cpu = time.perf_counter(), time.process_time()
    for content in contents:
        predictor.predict(content)
    bare, bare_cpu = COUNT / (time.perf_counter() - started), (time.process_time() - started_cpu) / COUNT
    requests = [
        (request_of(one), emotion) for one, emotion in zip(contents, emotions, strict=True) if emotion != "None"
    ]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{(port := free_port())}"
        command = [sys.executable, "-m", "ser", "serve", f"--port={port}"]
        with serving(
            command, url, Path(folder) / "log", folder=Path(folder), environment=importing_ser(), health="/healthz"
        ):
            asyncio.run(load(port, requests, rate=10, seconds=2))  # the first ones load what is loaded late
            before = cpu_seconds(url)
            asyncio.run(load(port, requests, rate=10, seconds=4))
            server_cpu = (cpu_seconds(url) - before) / 40
            for rate in RATES:
                rows.append(asyncio.run(load(port, requests, rate=rate, seconds=options.seconds)))
                if rows[-1]["p95, ms"] > MOST_MS:
                    break
            delays = asyncio.run(stream_delays(port, waves[:8]))
    print(f"{hardware()}; {state('ser', 'benchmarks')}; load {os.getloadavg()[0]:.1f} at the end\n")
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(f"{value:.0f}" for value in row.values()) + " |")
    most = max((row["requests/s"] for row in rows if row["p95, ms"] <= MOST_MS), default=0)
    print(f"\nmost requests a second with p95 under {MOST_MS:.0f} ms: {most}; bare predictor, one thread: {bare:.0f}")
    print(f"time of the processor for one: server {1000 * server_cpu:.1f} ms, bare predictor {1000 * bare_cpu:.1f} ms")
    print(
        f"stream, from the end of an utterance to its answer: median {np.median(delays):.0f} ms, most {max(delays):.0f}"
    )
    return {"rows": rows, "most": most, "bare": bare, "delays_ms": delays}


if __name__ == "__main__":
    main()
