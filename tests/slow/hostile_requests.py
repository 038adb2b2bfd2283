"""What visitors who mean no good do to the app, and what must come of it."""

import asyncio
import secrets
from functools import partial
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg

from app.capacity import MAX_BYTES_OF_VISITOR
from tests.slow.visitor import Door, Visitor, put, visiting

_UPLOADS: dict[str, tuple[dict[str, Any], set[int | None]]] = {
    "connection cut in the upload": ({"sent": 0.5}, {None}),
    "length too long": ({"claims": 2, "sent": 0.9999}, {None}),  # the server waits until the connection is cut
    "length too short": ({"claims": 0.5}, {400, None}),
    "far too large": ({"claims": 100}, {413, None}),
    "no token": ({"has_token": False}, {403}),
}
"""Kind -> how a file is sent, and the statuses that may come; None is a connection that ends without one."""
HOSTILE = (
    *_UPLOADS, "far too large, of no stated length", "slow sender", "another's session", "another's file",
    "gone before the answer", "no message at all", "hoard of files",
)  # fmt: skip


async def misbehave(kind: str, content: bytes, door: Door, visitor: Visitor) -> str | None:
    """Do one of `HOSTILE`; return what was wrong with the server's answer, or None."""
    urls = await visitor.announce()

    send = partial(put, door, urls.upload_url)
    if kind in _UPLOADS:
        manners, right = _UPLOADS[kind]
        return _wrong(await send(content, **manners), *right)
    match kind:
        case "far too large, of no stated length":
            return _wrong(await send(bytes(22 * 2**20), claims=0, pieces=50), 413, None)
        case "slow sender":
            status = await send(content, pieces=20, pause=0.2)
            await visitor.show(urls, size=len(content))
            return _wrong((status, visitor.confidences() is not None), (204, True))
        case "another's session":
            path = f"/_stcore/upload_file/{secrets.token_hex(16)}/{secrets.token_hex(16)}"
            return _wrong(await put(door, path, content), 400)
        case "another's file":
            async with visiting(door) as other:
                theirs = await other.announce()
                await put(door, theirs.upload_url, content)
                await visitor.show(theirs, size=len(content))
            return _wrong((visitor.confidences(), visitor.alerts()), (None, []))
        case "gone before the answer":
            await send(content)
            hurried = asyncio.create_task(visitor.show(urls, size=len(content)))
            await asyncio.sleep(0.05)
            hurried.cancel()
            return None
        case "hoard of files":
            size = 19 * 2**20
            paths = [f"{urls.upload_url}{number}" for number in range(MAX_BYTES_OF_VISITOR // size + 1)]
            return _wrong({await put(door, path, bytes(size)) for path in paths}, {204, 413})
        case "no message at all":
            await visitor.socket.send(secrets.token_bytes(500))
            await visitor.socket.send(BackMsg().SerializeToString())
            return None
    raise ValueError(kind)


def _wrong(answer: object, *right: object) -> str | None:
    return None if answer in right else f"{answer!r} instead of {' or '.join(map(repr, right))}"
