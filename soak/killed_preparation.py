"""Kill the preparation of a corpus and the download of an archive at random moments, finish them, and compare.

    python soak/killed_preparation.py [--count 20] [--seed 0] [--json FILE]

As many kills of each, spread over the time that an unkilled one takes. A cache that was finished after a kill must hold
the same files, byte by byte, as one that was never disturbed, and give the same features. The folder of a download must
be absent or whole after the kill, and whole after the second try. The server is one of this machine, slow on purpose.
"""

import functools
import hashlib
import io
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, f"{sys.path[0]}/benchmarks")

import numpy as np
from recordings import one_thread

from ser.corpora.progress import track
from ser.corpora.synthetic import SyntheticSettings, write_synthetic_corpus
from soak.figures import PROJECT, Figure, conclude, parser_of
from soak.killing import Command, contents_of, moments

KILLS = 20
VOICES = SyntheticSettings(n_actors=6, n_statements=1, n_repetitions=1)
MEMBERS = {f"Actor_{n % 24 + 1:02d}/{n}.wav": np.random.default_rng(n).bytes(2000) for n in range(2000)}
_ARCHIVE = "Speech.zip"
_CHUNK, _PAUSE = 1 << 16, 0.01


def preparation(corpus: Path, folder: Path) -> Command:
    """Return the command that prepares `corpus` into `folder`/cache and writes `folder`/features.npy."""
    folder.mkdir(parents=True, exist_ok=True)
    go = folder / "go"
    go.touch()
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    all_cores = 0
    given = [corpus, folder / "cache", folder / "features.npy", all_cores, ready, go]
    return Command(
        arguments=[sys.executable, str(PROJECT / "soak" / "prepare_corpus.py"), *map(str, given)],
        folder=folder,
        environment=one_thread(),
        begins=ready.is_file,
    )


def prepared(folder: Path) -> dict[str, bytes]:
    """Return what a preparation is for, the entries of the cache and the features; leftovers of kills are neither."""
    files = contents_of(folder)
    return {name: content for name, content in files.items() if name.endswith((".features", ".npy"))}


def kill_preparations(count: int, *, seed: int, folder: Path) -> Iterator[dict[str, object]]:
    """Kill and finish `count` preparations; yield what became of each."""
    corpus = write_synthetic_corpus(folder / "corpus", VOICES)
    seconds = preparation(corpus, folder / "undisturbed").to_its_end()
    expected = prepared(folder / "undisturbed")
    for number, moment in enumerate(moments(count, longest=seconds, seed=seed)):
        killed = folder / f"killed-{number}"
        while not preparation(corpus, killed).for_seconds(moment):
            shutil.rmtree(killed)  # it had ended before: that was no kill
            moment *= 0.9
        there = len(list((killed / "cache").rglob("*.features")))
        preparation(corpus, killed).to_its_end()
        yield {"entries after the kill": there, "same": prepared(killed) == expected}
        shutil.rmtree(killed)


def kill_downloads(count: int, *, seed: int, folder: Path) -> Iterator[dict[str, object]]:
    """Kill and finish `count` downloads; yield what became of each."""
    body = _zip_of(MEMBERS)
    folder.mkdir(parents=True, exist_ok=True)
    with _slow_server(body) as address:
        fetch = functools.partial(_fetching, address=address, body=body)
        seconds = fetch(folder / "undisturbed").to_its_end()
        for number, moment in enumerate(moments(count, longest=seconds, seed=seed)):
            root = folder / f"killed-{number}"
            while not fetch(root).for_seconds(moment):
                shutil.rmtree(root)
                moment *= 0.9
            place = root / _ARCHIVE.removesuffix(".zip")
            appeared = place.exists()
            was_whole = not appeared or contents_of(place) == MEMBERS
            fetch(root).to_its_end()
            yield {"there after the kill": appeared, "same": was_whole and contents_of(place) == MEMBERS}
            shutil.rmtree(root)


def _fetching(root: Path, *, address: str, body: bytes) -> Command:
    root.mkdir(parents=True, exist_ok=True)
    ready = root.with_name(f"{root.name}.ready")
    ready.unlink(missing_ok=True)
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    arguments = [str(root), address, _ARCHIVE, str(len(body)), md5, str(ready)]
    return Command(
        arguments=[sys.executable, str(PROJECT / "soak" / "fetch_archive.py"), *arguments],
        folder=root,
        environment=one_thread(),
        begins=ready.is_file,
    )


def _zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@contextmanager
def _slow_server(body: bytes) -> Iterator[str]:
    """Serve `body` at every path, piece by piece; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for start in range(0, len(body), _CHUNK):
                self.wfile.write(body[start : start + _CHUNK])
                time.sleep(_PAUSE)

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that are killed: that is what is tried."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> int:
    """Kill both and report."""
    options = parser_of(__doc__, count=KILLS).parse_args()
    figures, details = [], {}
    with tempfile.TemporaryDirectory() as name:
        for what, kill in {"preparation": kill_preparations, "download": kill_downloads}.items():
            made = kill(options.count, seed=options.seed, folder=Path(name) / what)
            done = list(track(made, total=options.count, description=f"Killed: {what}", unit="kills"))
            details[what] = done
            same = sum(bool(one["same"]) for one in done)
            figures.append(
                Figure(
                    figure=f"SIGKILL at random moments of {what}",
                    must=f"{options.count} kills, finished result byte-identical",
                    measured=f"{same} of {len(done)} identical",
                    held=same == len(done) == options.count,
                    command="python soak/killed_preparation.py",
                )
            )
    return conclude(figures, details, options.json)


if __name__ == "__main__":
    sys.exit(main())
