"""Archives of strangers, and servers that send other things than the archive."""

import hashlib
import io
import struct
import tarfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ser.corpora.archive import unpack
from ser.corpora.download import Archive, download_corpus
from ser.errors import DownloadError
from tests.slow.attacks import Attack

NAMES = (
    "../outside.wav", "a/../../outside.wav", "/outside.wav", "//host/outside.wav", "C:/outside.wav", "C:outside.wav",
    "..\\outside.wav", "a\\b.wav", "a.wav:stream", "a.wav\0.txt", "a//b.wav", "./a.wav", "a/.. /b.wav", "",
)  # fmt: skip
MODES = {
    "symbolic link": 0o120777,
    "character device": 0o020666,
    "block device": 0o060666,
    "pipe": 0o010666,
    "socket": 0o140666,
}
"""Kind -> the Unix mode that says so. A zip knows no hard links; a tar does, and is refused as a whole."""


def zip_of(members: Sequence[tuple[str, bytes]], *, mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of these names and contents, whatever the names are."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # zipfile's own, of doubled names
        for name, content in members:
            info = zipfile.ZipInfo("placeholder")
            info.filename = info.orig_filename = name  # past the constructor, which would mend some
            info.compress_type, info.external_attr = method, mode << 16
            archive.writestr(info, content)
    return file.getvalue()


def unpack_in(folder: Path, content: bytes) -> None:
    """Give an archive to the door."""
    (folder / "stranger.zip").write_bytes(content)
    unpack(folder / "stranger.zip", folder / "unpacked", max_bytes=10_000_000, max_ratio=100.0)


def _patched(content: bytes, place: int, value: bytes) -> bytes:
    """Change a field of the first entry of the central directory."""
    start = content.index(b"PK\x01\x02") + place
    return content[:start] + value + content[start + len(value) :]


def _overlapping() -> bytes:
    """Ten thousand names for the same thousand bytes: a bomb without compression."""
    one = zip_of([("a", bytes(1_000))], method=zipfile.ZIP_STORED)
    start, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    entry, count = one[start:end], 10_000
    entries = b"".join(entry[:28] + struct.pack("<H", 4) + entry[30:46] + b"%04d" % k for k in range(count))
    return one[:start] + entries + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)


def _tar_with_links() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind in (("hard", tarfile.LNKTYPE), ("soft", tarfile.SYMTYPE), ("device", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    return file.getvalue()


def _archives() -> dict[str, bytes]:
    """Kind -> the archive."""
    zeros = zip_of([("a.wav", bytes(5_000_000))])
    good = zip_of([("a.wav", b"the content")], method=zipfile.ZIP_STORED)
    kinds = {f"the name {name!r}": zip_of([("good.wav", b"x"), (name, b"bad")]) for name in NAMES}
    kinds |= {kind: zip_of([("link", b"/etc/passwd")], mode=mode) for kind, mode in MODES.items()}
    return kinds | {
        "bomb by ratio": zeros,
        "bomb that understates its size": _patched(zeros, 24, struct.pack("<I", 100)),
        "bomb in a bomb": zip_of([("a.zip", zeros), ("b.wav", bytes(5_000_000))]),
        "more bytes than allowed": zip_of([(f"{k}.wav", bytes(2**20)) for k in range(11)], method=0),
        "names over the same bytes": _overlapping(),
        "name twice": zip_of([("a.wav", b"1"), ("a.wav", b"2")]),
        "name twice but for case": zip_of([("a.wav", b"1"), ("A.WAV", b"2")]),
        "name twice but for the way of an accent": zip_of([("caf\u00e9", b"1"), ("cafe\u0301", b"2")]),
        "file below a file": zip_of([("a", b"1"), ("a/b", b"2")]),
        "encrypted member": _patched(good, 8, b"\x01"),
        "unusual compression": zip_of([("a.wav", b"x" * 99)], method=zipfile.ZIP_LZMA),
        "wrong checksum of a member": good.replace(b"the content", b"thE content"),
        "offset beyond the end": _patched(good, 42, struct.pack("<I", 2**31)),
        "tar with hard links and devices": _tar_with_links(),
        "page of a login": b"<html>Please log in</html>",
        "nothing": b"",
        "zip cut short": good[: len(good) // 2],
    }


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Yield the address of a server of this machine that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *arguments: None  # clients that hang up are what is tried here
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def sends(
    content: bytes, *, claimed: int | None = None, pause: float = 0.0
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Return an answer that sends `content`, with `pause` seconds after every 64 KiB."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if claimed is None else claimed))
        handler.end_headers()
        for start in range(0, len(content), 2**16):
            handler.wfile.write(content[start : start + 2**16])
            time.sleep(pause)

    return answer


def _redirects(target: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return answer


def archive_of(content: bytes) -> Archive:
    """Return what a download of `content` is checked by."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Archive(channel="speech", name="Speech.zip", size=len(content), md5=md5)


def archive_attacks() -> Iterator[Attack]:
    """Yield all attacks by an archive, and by a server of one."""
    for kind, content in _archives().items():
        yield Attack(f"archive: {kind}", DownloadError, lambda folder, _, content=content: unpack_in(folder, content))
    good, outside = zip_of([("a.wav", b"the content")]), zip_of([("../outside.wav", b"x")])
    answers = {
        "wrong checksum": (sends(good[:-1] + b"x"), good),
        "too few bytes": (sends(good[:-9]), good),
        "connection that is cut": (sends(good[:-9], claimed=len(good)), good),
        "bytes without end": (sends(bytes(2**22), claimed=2**40), good),
        "page of a login": (sends(b"<html>Please log in</html>"), good),
        "way to a file of this machine": (_redirects("file:///etc/passwd"), good),
        "way in a circle": (_redirects("/again"), good),
        "hostile archive under its own checksum": (sends(outside), outside),
    }

    def attempt(folder: Path, _: Path, *, answer: Callable[[BaseHTTPRequestHandler], None], expected: bytes) -> None:
        with serving(answer) as address:
            download_corpus(folder / "root", archives=[archive_of(expected)], address=address, n_retries=0)

    for kind, (answer, expected) in answers.items():
        yield Attack(f"download: {kind}", DownloadError, partial(attempt, answer=answer, expected=expected))
