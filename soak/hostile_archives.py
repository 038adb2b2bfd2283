"""Archives of strangers, and servers that send other things than the archive."""

import hashlib
import io
import struct
import tarfile
import threading
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
from soak.attacks import Attack

FILE = "stranger.zip"
MAX_BYTES, MAX_RATIO = 10_000_000, 100.0

NAMES = (
    "../outside.wav", "a/../../outside.wav", "/outside.wav", "//host/outside.wav", "C:/outside.wav", "C:outside.wav",
    "..\\outside.wav", "a\\b.wav", "a.wav:stream", "a.wav\0.txt", "a//b.wav", "./a.wav", "a/.. /b.wav", "",
)  # fmt: skip
KINDS = {
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


def _attack(kind: str, make: Callable[[], bytes]) -> Attack:
    def attempt(folder: Path, canary: Path) -> object:
        (folder / FILE).write_bytes(make())
        return unpack(folder / FILE, folder / "unpacked", max_bytes=MAX_BYTES, max_ratio=MAX_RATIO)

    return Attack(kind=kind, door="archive", refused_by=DownloadError, attempt=attempt)


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
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)
    return one[:start] + entries + tail


def _tar_with_links() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind in (("hard", tarfile.LNKTYPE), ("soft", tarfile.SYMTYPE), ("device", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    return file.getvalue()


def _bombs() -> dict[str, Callable[[], bytes]]:
    zeros = zip_of([("a.wav", bytes(5_000_000))])
    return {
        "bomb by ratio": lambda: zeros,
        "bomb that understates its size": lambda: _patched(zeros, 24, struct.pack("<I", 100)),
        "bomb in a bomb": lambda: zip_of([("a.zip", zeros), ("b.wav", bytes(5_000_000))]),
        "more bytes than allowed": lambda: zip_of([(f"{k}.wav", bytes(2**20)) for k in range(11)], method=0),
        "names over the same bytes": _overlapping,
    }


def _others() -> dict[str, Callable[[], bytes]]:
    good = zip_of([("a.wav", b"the content")], method=zipfile.ZIP_STORED)
    return {
        "name twice": lambda: zip_of([("a.wav", b"1"), ("a.wav", b"2")]),
        "name twice but for case": lambda: zip_of([("a.wav", b"1"), ("A.WAV", b"2")]),
        "name twice but for the way of an accent": lambda: zip_of([("caf\u00e9", b"1"), ("cafe\u0301", b"2")]),
        "file below a file": lambda: zip_of([("a", b"1"), ("a/b", b"2")]),
        "encrypted member": lambda: _patched(good, 8, b"\x01"),
        "unusual compression": lambda: zip_of([("a.wav", b"x" * 99)], method=zipfile.ZIP_LZMA),
        "wrong checksum of a member": lambda: good.replace(b"the content", b"thE content"),
        "offset beyond the end": lambda: _patched(good, 42, struct.pack("<I", 2**31)),
        "tar with hard links and devices": _tar_with_links,
        "page of a login": lambda: b"<html>Please log in</html>",
        "nothing": lambda: b"",
        "zip cut short": lambda: good[: len(good) // 2],
    }


@contextmanager
def _server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Yield the address of a server of this machine that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *arguments: None  # clients that hang up are what is tried here
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _sends(content: bytes, *, claimed: int | None = None) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if claimed is None else claimed))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def _redirects(target: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return answer


def _downloads() -> list[Attack]:
    good = zip_of([("a.wav", b"the content")])
    outside = zip_of([("../outside.wav", b"x")])
    expected = Archive(
        channel="speech", name="Speech.zip", size=len(good), md5=hashlib.md5(good, usedforsecurity=False).hexdigest()
    )
    vouched = Archive(
        channel="speech",
        name="Speech.zip",
        size=len(outside),
        md5=hashlib.md5(outside, usedforsecurity=False).hexdigest(),
    )
    answers = {
        "wrong checksum": (_sends(good[:-1] + b"x"), expected),
        "too few bytes": (_sends(good[:-9]), expected),
        "connection that is cut": (_sends(good[:-9], claimed=len(good)), expected),
        "bytes without end": (_sends(bytes(2**22), claimed=2**40), expected),
        "page of a login": (_sends(b"<html>Please log in</html>"), expected),
        "way to a file of this machine": (_redirects("file:///etc/passwd"), expected),
        "way in a circle": (_redirects("/again"), expected),
        "hostile archive under its own checksum": (_sends(outside), vouched),
    }

    def attempt(
        folder: Path, canary: Path, *, answer: Callable[[BaseHTTPRequestHandler], None], archive: Archive
    ) -> None:
        with _server(answer) as address:
            download_corpus(folder / "root", archives=[archive], address=address, n_retries=0)

    return [
        Attack(
            kind=kind,
            door="download",
            refused_by=DownloadError,
            attempt=partial(attempt, answer=answer, archive=archive),
        )
        for kind, (answer, archive) in answers.items()
    ]


def archive_attacks() -> list[Attack]:
    """Return all attacks by an archive, and by a server of one."""
    names = [_attack(f"the name {name!r}", partial(zip_of, [("good.wav", b"x"), (name, b"bad")])) for name in NAMES]
    kinds = [_attack(kind, partial(zip_of, [("link", b"/etc/passwd")], mode=mode)) for kind, mode in KINDS.items()]
    others = [_attack(kind, make) for kind, make in (_bombs() | _others()).items()]
    return [*names, *kinds, *others, *_downloads()]
