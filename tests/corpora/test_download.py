import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from ser.corpora.download import ARCHIVES, Archive, download_corpus
from ser.corpora.ravdess import CHANNEL_FOLDERS, CHANNELS
from ser.errors import DownloadError, SettingsError

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
        self.answers = [send(BODY)]
        self.requests = []
        self.n_sent = 0
        self.closing = threading.Event()

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


def send(body):
    def answer(handler):
        handler.start(200, len(body))
        handler.wfile.write(body)

    return answer


send_changed = send(BODY[:-1] + bytes([BODY[-1] ^ 1]))
send_login_page = send(b"<html>Please log in</html>")


def send_half_and_hang_up(handler):
    handler.start(200, len(BODY))
    handler.wfile.write(BODY[: len(BODY) // 2])


def send_half_and_wait(handler):
    send_half_and_hang_up(handler)
    handler.wfile.flush()
    handler.server.closing.wait(60)


def send_far_too_much(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(300):
        handler.wfile.write(BODY)
        handler.server.n_sent += len(BODY)


def fail_with(status):
    def answer(handler):
        handler.start(status, 0)

    return answer


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def waits(monkeypatch):
    """The seconds waited between attempts; nobody waits in these tests."""
    waits = []
    monkeypatch.setattr("pooch.core.time.sleep", waits.append)
    return waits


def assert_complete(folder):
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == FILES


def test_the_archives_of_the_publisher_and_the_synthetic_corpus_have_the_same_layout():
    assert {archive.channel: archive.folder for archive in ARCHIVES} == CHANNEL_FOLDERS
    for archive in ARCHIVES:
        assert re.fullmatch(r"[0-9a-f]{32}", archive.md5)


def test_both_channels_are_fetched_unpacked_and_the_zips_deleted(tmp_path, server):
    root = tmp_path / "data" / "ravdess"
    download_corpus(root, archives=(SPEECH, SONG), address=server.address)

    assert server.requests == ["/files/Speech.zip?download=1", "/files/Song.zip?download=1"]
    assert sorted(path.name for path in root.iterdir()) == ["Song", "Speech"]
    assert_complete(root / "Speech")
    assert_complete(root / "Song")


def test_only_absent_archives_of_the_channel_are_fetched(tmp_path, server):
    download_corpus(tmp_path, channels=["song"], archives=(SPEECH, SONG), address=server.address)
    assert [path.name for path in tmp_path.iterdir()] == ["Song"]

    kept = tmp_path / "Song" / "Actor_01" / "1.wav"
    kept.write_bytes(b"mine")
    download_corpus(tmp_path, channels=CHANNELS, archives=(SPEECH, SONG), address=server.address)
    assert server.requests == ["/files/Song.zip?download=1", "/files/Speech.zip?download=1"]
    assert kept.read_bytes() == b"mine"
    assert_complete(tmp_path / "Speech")


def test_an_unknown_channel_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"'sing'.*'song'"):
        download_corpus(tmp_path, channels=["speech", "sing"], archives=())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (send_changed, "hash"),
        (send_half_and_hang_up, "Connection broken|IncompleteRead"),
        (send_login_page, "26 bytes came instead of"),
        (fail_with(404), "404"),
        (fail_with(503), "503"),
    ],
)
def test_bad_answers_end_in_an_error_that_says_what_to_do(tmp_path, server, waits, answer, reason):
    server.answers = [answer]
    with pytest.raises(DownloadError, match=reason) as caught:
        download_corpus(tmp_path, archives=[SPEECH], address=server.address, n_retries=2)

    assert len(server.requests) == 3
    assert waits == [1, 2]
    assert list(tmp_path.iterdir()) == []
    message = str(caught.value)
    for part in (f"{server.address}/Speech.zip", "by hand", str(tmp_path / "Speech"), "data.root", "RAVDESS_ROOT"):
        assert part in message


@pytest.mark.parametrize("answer", [fail_with(500), send_half_and_hang_up, send_changed, send_login_page])
def test_a_passing_fault_is_survived(tmp_path, server, waits, answer):
    server.answers = [answer, send(BODY)]
    download_corpus(tmp_path, archives=[SPEECH], address=server.address)
    assert len(server.requests) == 2
    assert waits == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["Speech"]
    assert_complete(tmp_path / "Speech")


def test_a_server_that_sends_far_too_much_is_cut_off_at_once(tmp_path, server, waits):
    server.answers = [send_far_too_much]
    with pytest.raises(DownloadError, match=f"more than the {SPEECH.size} bytes"):
        download_corpus(tmp_path, archives=[SPEECH], address=server.address)
    assert server.n_sent < 100 * SPEECH.size  # what the sockets hold, not what a disk holds
    assert (len(server.requests), waits) == (1, [])
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_a_download_error(tmp_path, waits):
    address = "http://127.0.0.1:9/files"  # the discard port: nobody listens
    with pytest.raises(DownloadError, match=re.escape(f"{address}/Speech.zip")):
        download_corpus(tmp_path, archives=[SPEECH], address=address, n_retries=1)
    assert waits == [1]


def test_an_archive_that_is_not_safe_is_not_unpacked(tmp_path, server):
    body = zip_of({"Actor_01/1.wav": b"x", "../outside.wav": b"x"})
    server.answers = [send(body)]
    hostile = archive_of(body, channel="speech", name="Speech.zip")
    with pytest.raises(DownloadError, match="outside"):
        download_corpus(tmp_path / "root", archives=[hostile], address=server.address)
    assert [path.name for path in tmp_path.rglob("*")] == ["root"]


def test_a_root_that_cannot_be_written_is_a_download_error(tmp_path, server):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="could not be downloaded"):
        download_corpus(tmp_path / "file" / "root", archives=[SPEECH], address=server.address)
    assert server.requests == []


def test_a_killed_download_leaves_nothing_that_looks_complete(tmp_path, server):
    server.answers = [send_half_and_wait, send(BODY)]
    program = (
        "import sys; from pathlib import Path; from ser.corpora.download import Archive, download_corpus\n"
        "root, address, size, md5 = sys.argv[1:]\n"
        "archive = Archive(channel='speech', name='Speech.zip', size=int(size), md5=md5)\n"
        "download_corpus(Path(root), archives=[archive], address=address)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), server.address, str(SPEECH.size), SPEECH.md5],
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not any(path.is_file() and path.stat().st_size for path in tmp_path.rglob("*")):
            assert process.poll() is None, "the download ended before it was killed"
            assert time.monotonic() < deadline, "the download did not begin"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        process.wait()
    assert not (tmp_path / "Speech").exists()
    assert not list(tmp_path.rglob("*.zip"))

    download_corpus(tmp_path, archives=[SPEECH], address=server.address)
    assert_complete(tmp_path / "Speech")


def test_only_what_was_abandoned_long_ago_is_removed(tmp_path, server):
    for name, age in {".Speech-old": 7200, ".Speech-new": 60}.items():
        (tmp_path / name).mkdir()
        leftover = tmp_path / name / "half.zip"
        leftover.write_bytes(b"half")
        then = time.time() - age
        os.utime(leftover, (then, then))
        os.utime(tmp_path / name, (then - 7200, then - 7200))  # a folder is as old as its newest file
    download_corpus(tmp_path, archives=[SPEECH], address=server.address)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".Speech-new", "Speech"]


def test_progress_is_shown_only_on_a_terminal(tmp_path, server, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    for shown, stream in {True: terminal, False: io.StringIO()}.items():
        monkeypatch.setattr(sys, "stderr", stream)
        download_corpus(tmp_path / str(shown), archives=[SPEECH], address=server.address)
        assert ("Speech.zip" in stream.getvalue()) == shown
