"""What visitors who mean no good do to the app, and what must come of it."""

import asyncio
import secrets

from streamlit.proto.BackMsg_pb2 import BackMsg

from app.capacity import MAX_BYTES_OF_VISITOR
from tests.slow.visitor import Door, Manners, Visitor, put, visiting

_UPLOADS: dict[str, tuple[Manners, set[int | None]]] = {
    "connection cut in the upload": (Manners(sent=0.5), {None}),
    "length too long": (Manners(claims=2, sent=0.9999), {None}),  # the server waits until the connection is cut
    "length too short": (Manners(claims=0.5), {400, None}),
    "far too large": (Manners(claims=100), {413, None}),
    "no token": (Manners(has_token=False), {403}),
}
"""Kind -> how a file is sent, and the statuses that may come; None is a connection that ends without one."""
HOSTILE = (
    *_UPLOADS, "far too large, of no stated length", "slow sender", "another's session", "another's file",
    "gone before the answer", "no message at all", "hoard of files",
)  # fmt: skip


def breakages(wav: bytes) -> list[bytes]:
    """Return broken files that are made of a good one."""
    data = wav.index(b"data") + 4
    return [
        b"These are words and no sound.",
        wav[:40],
        wav[: len(wav) // 2],
        wav[:24] + (1).to_bytes(4, "little") + wav[28:],  # the rate
        wav[:22] + (60_000).to_bytes(2, "little") + wav[24:],  # the channels
        wav[:data] + (0xFFFFFFF0).to_bytes(4, "little") + wav[data + 4 :],
        bytes(len(wav)),
        b"fLaC" + wav[4:],
        b"OggS" + wav[4:],
        wav[:44] + bytes(len(wav) - 44),
    ]


async def misbehave(kind: str, content: bytes, door: Door, visitor: Visitor) -> str | None:
    """Do one of `HOSTILE`; return what was wrong with the server's answer, or None."""
    urls = await visitor.announce()

    async def upload(manners: Manners, *, content: bytes = content, path: str = urls.upload_url) -> int | None:
        return await put(door, path, content, manners)

    if kind in _UPLOADS:
        manners, right = _UPLOADS[kind]
        return _wrong(await upload(manners), *right)
    match kind:
        case "far too large, of no stated length":
            return _wrong(await upload(Manners(claims=0, pieces=50), content=bytes(22 * 2**20)), 413, None)
        case "slow sender":
            status = await upload(Manners(pieces=20, pause=0.2))
            await visitor.show(urls, size=len(content))
            return _wrong((status, visitor.confidences() is not None), (204, True))
        case "another's session":
            path = f"/_stcore/upload_file/{secrets.token_hex(16)}/{secrets.token_hex(16)}"
            return _wrong(await upload(Manners(), path=path), 400)
        case "another's file":
            async with visiting(door) as other:
                theirs = await other.announce()
                await upload(Manners(), path=theirs.upload_url)
                await visitor.show(theirs, size=len(content))
            return _wrong((visitor.confidences(), visitor.alerts()), (None, []))
        case "gone before the answer":
            await upload(Manners())
            hurried = asyncio.create_task(visitor.show(urls, size=len(content)))
            await asyncio.sleep(0.05)
            hurried.cancel()
            return None
        case "hoard of files":
            size = 19 * 2**20
            paths = [f"{urls.upload_url}{number}" for number in range(MAX_BYTES_OF_VISITOR // size + 1)]
            return _wrong({await upload(Manners(), content=bytes(size), path=path) for path in paths}, {204, 413})
        case "no message at all":
            await visitor.socket.send(secrets.token_bytes(500))
            await visitor.socket.send(BackMsg().SerializeToString())
            return None
    raise ValueError(kind)


def _wrong(answer: object, *right: object) -> str | None:
    return None if answer in right else f"{answer!r} instead of {' or '.join(map(repr, right))}"
