import hashlib
import io
import os
import re
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from ser.corpora.download import ARCHIVES, Archive, download_corpus
from ser.corpora.ravdess import CHANNEL_FOLDERS
from ser.errors import DownloadError, SettingsError
from tests.corpora.test_archive import files_in

FILES = {f"Actor_{actor:02d}/{actor}.wav": np.random.default_rng(actor).bytes(100_000) for actor in (1, 2)}


def zip_of(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return buffer.getvalue()


def archive_of(body, *, channel, name):
    return Archive(channel=channel, name=name, size=len(body), md5=hashlib.md5(body, usedforsecurity=False).hexdigest())


BODY = zip_of(FILES)
SPEECH = archive_of(BODY, channel="speech", name="Speech.zip")
SONG = archive_of(BODY, channel="song", name="Song.zip")


class Server(ThreadingHTTPServer):
    """Answers the n-th request with the n-th of `answers`, and with the last of them from then on."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests = [send(BODY)], []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}/files"

    def handle_error(self, request, client_address):
        """Say nothing: clients that hang up are what is tested."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        place = min(len(self.server.requests), len(self.server.answers)) - 1
        self.server.answers[place](self)

    def start(self, status, length):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_args):
        pass


def send(body, *, status=200, of_length=None):
    def answer(handler):
        handler.start(status, len(body) if of_length is None else of_length)
        handler.wfile.write(body)

    return answer


HALF = len(BODY) // 2
SEND_CHANGED = send(BODY[:-1] + bytes([BODY[-1] ^ 1]))
SEND_LOGIN_PAGE = send(b"<html>Please log in</html>")
SEND_HALF = send(BODY[:HALF], of_length=len(BODY))


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def waits(monkeypatch):
    """The seconds waited between attempts; nobody waits in these tests."""
    waits = []
    monkeypatch.setattr("pooch.core.time.sleep", waits.append)
    return waits


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_archives_of_the_publisher_and_the_synthetic_corpus_have_the_same_layout():
    assert {archive.channel: archive.name.removesuffix(".zip") for archive in ARCHIVES} == CHANNEL_FOLDERS
    assert all(re.fullmatch(r"[0-9a-f]{32}", archive.md5) for archive in ARCHIVES)


def test_absent_archives_of_the_channel_are_fetched_and_unpacked_and_the_zips_deleted(tmp_path, server):
    root = tmp_path / "data" / "ravdess"
    download_corpus(root, channels=["song"], archives=(SPEECH, SONG), address=server.address)
    assert names_in(root) == ["Song"]
    assert files_in(root / "Song") == FILES

    kept = root / "Song" / "Actor_01" / "1.wav"
    kept.write_bytes(b"mine")
    download_corpus(root, archives=(SPEECH, SONG), address=server.address)
    assert server.requests == ["/files/Song.zip?download=1", "/files/Speech.zip?download=1"]
    assert names_in(root) == ["Song", "Speech"]
    assert kept.read_bytes() == b"mine"
    assert files_in(root / "Speech") == FILES


def test_an_unknown_channel_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"'sing'.*'song'"):
        download_corpus(tmp_path, channels=["speech", "sing"], archives=())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SEND_CHANGED, "hash"),
        (SEND_HALF, "Connection broken|IncompleteRead"),
        (SEND_LOGIN_PAGE, "26 bytes came instead of"),
        (send(b"", status=404), "404"),
        (send(b"", status=503), "503"),
    ],
)
def test_a_bad_answer_is_survived_when_it_passes_and_else_ends_in_an_error_that_says_what_to_do(
    tmp_path, server, waits, answer, reason
):
    server.answers = [*[answer] * 4, send(BODY)]
    with pytest.raises(DownloadError, match=reason) as caught:
        download_corpus(tmp_path, archives=[SPEECH], address=server.address, n_retries=2)
    assert (len(server.requests), waits) == (3, [1, 2])
    assert names_in(tmp_path) == []
    message = str(caught.value)
    for part in (f"{server.address}/Speech.zip", "by hand", str(tmp_path / "Speech"), "data.root", "RAVDESS_ROOT"):
        assert part in message

    download_corpus(tmp_path, archives=[SPEECH], address=server.address)
    assert (len(server.requests), waits) == (5, [1, 2, 1])
    assert names_in(tmp_path) == ["Speech"]
    assert files_in(tmp_path / "Speech") == FILES


def test_a_server_that_sends_far_too_much_is_cut_off_at_once(tmp_path, server, waits):
    n_sent = 0

    def send_far_too_much(handler):
        nonlocal n_sent
        handler.send_response(200)
        handler.end_headers()
        for _ in range(300):
            handler.wfile.write(BODY)
            n_sent += len(BODY)

    server.answers = [send_far_too_much]
    with pytest.raises(DownloadError, match=f"more than the {SPEECH.size} bytes"):
        download_corpus(tmp_path, archives=[SPEECH], address=server.address)
    assert n_sent < 100 * SPEECH.size  # what the sockets hold, not what a disk holds
    assert (len(server.requests), waits) == (1, [])
    assert names_in(tmp_path) == []


def test_no_network_and_a_root_that_cannot_be_written_are_download_errors(tmp_path, server, waits):
    address = "http://127.0.0.1:9/files"  # the discard port: nobody listens
    with pytest.raises(DownloadError, match=re.escape(f"{address}/Speech.zip")):
        download_corpus(tmp_path, archives=[SPEECH], address=address, n_retries=1)
    assert waits == [1]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="could not be downloaded"):
        download_corpus(tmp_path / "file" / "root", archives=[SPEECH], address=server.address)
    assert server.requests == []


def test_an_archive_that_is_not_safe_is_not_unpacked(tmp_path, server):
    body = zip_of({"Actor_01/1.wav": b"x", "../outside.wav": b"x"})
    server.answers = [send(body)]
    hostile = archive_of(body, channel="speech", name="Speech.zip")
    with pytest.raises(DownloadError, match="outside"):
        download_corpus(tmp_path / "root", archives=[hostile], address=server.address)
    assert [path.name for path in tmp_path.rglob("*")] == ["root"]


def test_a_kill_at_half_leaves_nothing_that_looks_complete(tmp_path, server):
    seen = []

    def send_in_two(handler):
        SEND_HALF(handler)
        handler.wfile.flush()
        deadline = time.monotonic() + 60
        while not any(path.is_file() and path.stat().st_size for path in tmp_path.rglob("*")):
            assert time.monotonic() < deadline, "the download did not begin"
            time.sleep(0.02)
        seen.extend(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))  # what a kill would leave
        handler.wfile.write(BODY[HALF:])

    server.answers = [send_in_two]
    download_corpus(tmp_path, archives=[SPEECH], address=server.address)
    assert files_in(tmp_path / "Speech") == FILES
    assert len(seen) == 2  # a folder and a file in it
    assert all(path.parts[0].startswith(".Speech-") and path.suffix != ".zip" for path in seen)


def test_only_what_was_abandoned_long_ago_is_removed(tmp_path, server):
    for name, age in {".Speech-old": 7200, ".Speech-new": 60}.items():
        (tmp_path / name).mkdir()
        leftover = tmp_path / name / "half.zip"
        leftover.write_bytes(b"half")
        then = time.time() - age
        os.utime(leftover, (then, then))
        os.utime(tmp_path / name, (then - 7200, then - 7200))  # a folder is as old as its newest file
    download_corpus(tmp_path, archives=[SPEECH], address=server.address)
    assert names_in(tmp_path) == [".Speech-new", "Speech"]


def test_progress_is_shown_only_on_a_terminal(tmp_path, server, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    for shown, stream in {True: terminal, False: io.StringIO()}.items():
        monkeypatch.setattr(sys, "stderr", stream)
        download_corpus(tmp_path / str(shown), archives=[SPEECH], address=server.address)
        assert ("Speech.zip" in stream.getvalue()) == shown
