"""Archives of strangers, and servers that send other things than the archive.

Names, links, bombs and damage one by one are in tests/corpora/test_archive.py, bad answers in test_download.py.
"""

import io
import struct
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ser.corpora.archive import unpack
from ser.corpora.download import download_corpus
from ser.errors import DownloadError
from tests.corpora.test_download import Handler, Server, archive_of
from tests.slow.attacks import Attack, attacks_by

Answer = Callable[[Handler], None]


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of these names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def unpack_in(folder: Path, content: bytes) -> None:
    """Give an archive to the door."""
    (folder / "stranger.zip").write_bytes(content)
    unpack(folder / "stranger.zip", folder / "unpacked", max_bytes=10_000_000, max_ratio=100.0)


def _overlapping() -> bytes:
    """Ten thousand names for the same thousand bytes: a bomb without compression."""
    one = zip_of({"a": bytes(1_000)}, zipfile.ZIP_STORED)
    start, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    entry, count = one[start:end], 10_000
    entries = b"".join(entry[:28] + struct.pack("<H", 4) + entry[30:46] + b"%04d" % k for k in range(count))
    return one[:start] + entries + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)


def tar_of_link(name: str, kind: bytes, target: str) -> bytes:
    """Return a tar of one member, a link or a device."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member.tobuf() + bytes(2 * tarfile.BLOCKSIZE)


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Yield the address of a server of this machine that answers every request so."""
    with Server() as server:
        server.answers = [answer]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server.address
        finally:
            server.shutdown()


def sends(content: bytes, *, pause: float = 0.0) -> Answer:
    """Return an answer that sends `content`, with `pause` seconds after every 64 KiB."""

    def answer(handler: Handler) -> None:
        handler.start(200, len(content))
        for start in range(0, len(content), 2**16):
            handler.wfile.write(content[start : start + 2**16])
            time.sleep(pause)

    return answer


def _redirects(target: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return answer


def archive_attacks() -> list[Attack]:
    """Return all attacks by an archive, and by a server of one."""
    good, outside = zip_of({"a.wav": b"the content"}, zipfile.ZIP_STORED), zip_of({"../outside.wav": b"x"})
    entry, zeros = good.index(b"PK\x01\x02"), zip_of({"a.wav": bytes(5_000_000)})
    archives = {
        "bomb in a bomb": zip_of({"a.zip": zeros, "b.wav": bytes(5_000_000)}),
        "names over the same bytes": _overlapping(),
        "offset beyond the end": good[: entry + 42] + struct.pack("<I", 2**31) + good[entry + 46 :],
        "tar with a link": tar_of_link("a.wav", tarfile.SYMTYPE, "/etc/passwd"),
        "tar with a device": tar_of_link("a.wav", tarfile.CHRTYPE, "/etc/passwd"),
    }
    answers: dict[str, tuple[Answer, bytes]] = {
        "way to a file of this machine": (_redirects("file:///etc/passwd"), good),
        "way in a circle": (_redirects("/again"), good),
        "hostile archive under its own checksum": (sends(outside), outside),
    }

    def download(folder: Path, canary: Path, given: tuple[Answer, bytes]) -> None:
        with serving(given[0]) as address:
            download_corpus(
                folder / "root",
                archives=[archive_of(given[1], channel="speech", name="Speech.zip")],
                address=address,
                n_retries=0,
            )

    return [
        *attacks_by("archive", DownloadError, archives, lambda folder, _, content: unpack_in(folder, content)),
        *attacks_by("download", DownloadError, answers, download),
    ]
