"""The server under load: requests at once, most of them hostile, and each answer compared with `Predictor`'s.

The server is the real one, in a process of its own. `SER_SOAK=10` makes a thousand requests.
"""

import asyncio
import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks.app_server import ROOT, AppServer, free_port, is_healthy, serving
from ser.errors import AudioError
from ser.inference.predictor import Predictor
from tests.slow.hostile_sounds import hostile_sound

REQUESTS, AT_ONCE = 100, 20
PATIENCE = 120.0
MOST_MB = 700
HEAD = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
FORM = "Content-Type: multipart/form-data; boundary=b\r\n"


def form_of(*contents: bytes) -> bytes:
    parts = (
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="same.wav"\r\n\r\n' + content + b"\r\n"
        for content in contents
    )
    return b"".join(parts) + b"--b--\r\n"


async def exchange(address: tuple[str, int], *pieces: bytes, pause: float = 0.0, waits: bool = True) -> tuple[int, str]:
    """Send pieces and return the status and the body of the answer; 0 where the connection ends without one."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        if not waits:
            return 0, ""
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        body = await (reader.readexactly(int(length[1])) if length else reader.read())
    except (ConnectionError, asyncio.IncompleteReadError):  # refused before all was sent
        return 0, ""
    finally:
        writer.close()
    return int(head.split()[1]), body.decode()


def post(body: bytes, *, claims: int | None = None, further: str = "", kind: str = FORM) -> bytes:
    length = len(body) if claims is None else claims
    return f"{HEAD}{kind}Content-Length: {length}\r\n{further}\r\n".encode() + body


def chunked(*pieces: bytes) -> list[bytes]:
    parts = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
    return [f"{HEAD}{FORM}Transfer-Encoding: chunked\r\n\r\n".encode(), *parts, b"0\r\n\r\n"]


def hostile(content: bytes) -> dict[str, tuple[list[bytes], dict[str, object], set[int]]]:
    """Kind -> pieces, how they are sent, and the statuses that may come; 0 is a connection that ends without one."""
    form, megabyte = form_of(content), bytes(2**20)
    whole = post(form)
    return {
        "cut in the body": ([whole[: len(whole) // 2]], {"waits": False}, {0}),
        "length too long": ([post(form, claims=len(form) + 1_000)], {"waits": False}, {0}),
        "length too short": ([post(form, claims=len(form) // 2)], {}, {400}),
        "length no number": ([whole.replace(b"Content-Length: ", b"Content-Length: -")], {}, {400, 0}),
        "length beyond all": ([post(b"", claims=10**18)], {}, {413}),
        "two lengths": ([post(form, further="Content-Length: 5\r\n")], {}, {400, 0}),
        "truncated form": ([post(form[:-8])], {}, {400}),
        "no boundary": ([post(form, kind="Content-Type: multipart/form-data\r\n")], {}, {400}),
        "thousand files": ([post(form_of(*[b"1"] * 1_000))], {}, {413}),
        "form of headers": ([post(b"--b\r\n" + b"X: y\r\n" * 50_000)], {}, {400}),
        "lines alone": ([post(b"\r\n" * 1_000_000)], {}, {400}),
        "file too large": ([post(form_of(megabyte * 21))], {}, {413}),
        "body without end": (chunked(form[:100], *[megabyte] * 80), {}, {408, 413, 0}),
        "bad chunks": ([f"{HEAD}{FORM}Transfer-Encoding: chunked\r\n\r\nzz\r\n".encode()], {}, {400, 0}),
        "huge header": ([post(form, further=f"X: {'y' * 200_000}\r\n")], {}, {200, 400, 431, 0}),
        "many headers": ([post(form, further="X: y\r\n" * 20_000)], {}, {200, 400, 431, 0}),
        "no form": ([post(b"{}", kind="Content-Type: application/json\r\n")], {}, {415}),
        "no HTTP": ([b"\x16\x03\x01\x02\x00\x01\x00" * 50], {}, {400, 0}),
        "another path": ([whole.replace(b"/v1/predict", b"/../../etc/passwd")], {}, {404}),
        "another method": ([whole.replace(b"POST", b"DELETE")], {}, {405}),
        "half a handshake": ([b"GET /v1/stream?sample_rate=x HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"], {}, {400, 404}),
        "gone before the answer": ([whole], {"waits": False}, {0}),
    }


async def misuse_stream(url: str, kind: int) -> str | None:
    """Do something that no stream should; return what was wrong with the answer."""
    async with connect(f"{url}/v1/stream?sample_rate=8000", max_size=2**24) as socket:
        try:
            if kind == 0:
                await socket.send("no end")
            elif kind == 1:
                await socket.send(bytes(3 * 2**20))
            else:
                await socket.send(os.urandom(50_001))
                return None  # and leave
            answer = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
        except ConnectionClosed:
            return None if kind == 1 else "no answer"
    return None if answer["type"] == "error" else f"{answer}"


def expected_of(predictor: Predictor, content: bytes) -> dict[str, object] | str:
    try:
        return predictor.predict(content, name="same.wav").to_dict()
    except AudioError as error:
        return str(error)


def wrong(answer: tuple[int, str], expected: dict[str, object] | str) -> str | None:
    """Return what is wrong with the answer to a file that comes in whole."""
    status, body = answer
    if isinstance(expected, str):
        is_right = status == 422 and json.loads(body)["detail"] == expected
        return None if is_right else f"{answer} instead of {expected}"
    if status != 200:
        return f"{answer}"
    (row,) = json.loads(body)["results"]
    same = {**row, "probabilities": None, "confidence": None, "utterances": None}
    if same != {**expected, "probabilities": None, "confidence": None, "utterances": None}:
        return f"{row} instead of {expected}"
    is_near = row["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
    return None if is_near else f"{row['probabilities']} instead of {expected['probabilities']}"


async def make_all(url: str, contents: Sequence[tuple[str, bytes, object]], count: int) -> list[tuple[str, str | None]]:
    """Make requests, `AT_ONCE` at a time; return the kind of each and what was wrong with its answer."""
    parsed = urlparse(url)
    address = (str(parsed.hostname), int(parsed.port or 0))
    places = asyncio.Semaphore(AT_ONCE)
    good = contents[0][1]
    kinds = hostile(good)

    async def make(place: int) -> tuple[str, str | None]:
        async with places, asyncio.timeout(PATIENCE):
            turn = place % 4
            if turn == 0:
                kind, (pieces, manners, right) = list(kinds.items())[place // 4 % len(kinds)]
                status, body = await exchange(address, *pieces, **manners)
                return kind, None if status in right else f"{status} instead of {right}: {body[:200]}"
            if turn == 1 and place % 12 == 1:
                return "stream", await misuse_stream(url.replace("http", "ws"), place // 12 % 3)
            kind, content, expected = contents[place % len(contents)]
            body = post(form_of(content))
            if place % 20 == 2:
                size = -(-len(body) // 20)
                slow = [body[start : start + size] for start in range(0, len(body), size)]
                return f"slow {kind}", wrong(await exchange(address, *slow, pause=0.1), expected)
            return kind, wrong(await exchange(address, body), expected)

    return await asyncio.gather(*(make(place) for place in range(count)))


@contextmanager
def running_server(folder: Path) -> Iterator[AppServer]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "ser", "serve", f"--port={port}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = folder / "server.log"
    with serving(command, url, log, folder=folder, environment=environment, health="/healthz") as server:
        yield server


def test_everybody_gets_the_right_answer_and_the_server_lives(tmp_path, voice_wav, times):
    predictor = Predictor.load()
    voices = [("voice", voice_wav(seed)) for seed in range(7)]
    broken = [("broken file", hostile_sound(7, place).content) for place in range(40)]
    sounds = list(itertools.chain.from_iterable(zip(voices * 6, broken, strict=False)))
    contents = [(kind, content, expected_of(predictor, content)) for kind, content in sounds]
    with running_server(tmp_path) as server:
        url = server.url
        # In a thread of its own: a browser test before it leaves an event loop in this one.
        with ThreadPoolExecutor(1) as own:
            done = own.submit(asyncio.run, make_all(url, contents, REQUESTS * times)).result()
        assert server.process.poll() is None
        assert is_healthy(url, "/healthz")
        status = Path(f"/proc/{server.process.pid}/status").read_text()
    assert not [one for one in done if one[1]], "\n".join(f"{kind}: {wrong}" for kind, wrong in done if wrong)
    made = Counter(kind for kind, _ in done)
    assert {"voice", "broken file", "stream", "slow voice"} <= set(made)
    assert set(hostile(b"")) <= set(made)
    assert int(status.partition("VmHWM:")[2].split()[0]) / 1000 < MOST_MB
    assert "Traceback" not in server.log.read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"server.log"}
    false = {**contents[0][2], "emotion": "another"}  # a wrong answer is noticed
    assert wrong((200, json.dumps({"results": [contents[0][2]]})), false)


def test_schemathesis_finds_no_fault(tmp_path, times):
    with running_server(tmp_path) as server:
        # Any bytes are a file to the schema, and only sounds are accepted.
        options = [
            "--exclude-checks=positive_data_acceptance",
            f"--max-examples={10 * times}",
            "--seed=1",
            "--no-color",
        ]
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-5_000:] + done.stderr
    assert "Selected: 5/5" in done.stdout
    assert "Traceback" not in server.log.read_text()
