"""What visitors who mean no good do to the app, and what must come of it."""

import asyncio
import secrets

from streamlit.proto.BackMsg_pb2 import BackMsg

from app.capacity import MAX_BYTES_OF_VISITOR
from tests.slow.visitor import Door, Manners, Visitor, put, visiting

HOSTILE = (
    "connection cut in the upload",
    "slow sender",
    "length too long",
    "length too short",
    "far too large",
    "far too large, of no stated length",
    "no token",
    "another's session",
    "another's file",
    "gone before the answer",
    "no message at all",
    "hoard of files",
)
_OVER_THE_LIMIT = 22 * 2**20


def breakages(wav: bytes) -> list[bytes]:
    """Return broken files that are made of a good one."""
    rate = wav[:24] + (1).to_bytes(4, "little") + wav[28:]
    channels = wav[:22] + (60_000).to_bytes(2, "little") + wav[24:]
    data = wav.index(b"data") + 4
    lying = wav[:data] + (0xFFFFFFF0).to_bytes(4, "little") + wav[data + 4 :]
    return [
        b"These are words and no sound.",
        wav[:40],
        wav[: len(wav) // 2],
        rate,
        channels,
        lying,
        bytes(len(wav)),
        b"fLaC" + wav[4:],
        b"OggS" + wav[4:],
        wav[:44] + bytes(len(wav) - 44),
    ]


async def misbehave(kind: str, content: bytes, door: Door, visitor: Visitor) -> str | None:
    """Do one of `HOSTILE`; return what was wrong with the server's answer, or None."""
    urls = await visitor.announce()

    async def upload(manners: Manners) -> int | None:
        return await put(door, urls.upload_url, content, manners)

    match kind:
        case "connection cut in the upload":
            return _wrong(await upload(Manners(share=0.5)), None)
        case "slow sender":
            status = await upload(Manners(pieces=20, pause=0.2))
            await visitor.show(urls, size=len(content))
            return _wrong((status, visitor.confidences() is not None), (204, True))
        case "length too long":  # the server waits for the rest until the connection is cut
            return _wrong(await upload(Manners(claims=2 * len(content), share=0.9999)), None)
        case "length too short":
            return _wrong(await upload(Manners(claims=len(content) // 2)), 400, None)
        case "far too large":
            return _wrong(await upload(Manners(claims=_OVER_THE_LIMIT)), 413, None)
        case "far too large, of no stated length":
            content = bytes(_OVER_THE_LIMIT)
            return _wrong(await upload(Manners(claims=0, pieces=50)), 413, None)
        case "no token":
            return _wrong(await upload(Manners(has_token=False)), 403)
        case "another's session":
            path = f"/_stcore/upload_file/{secrets.token_hex(16)}/{secrets.token_hex(16)}"
            return _wrong(await put(door, path, content, Manners()), 400)
        case "another's file":
            async with visiting(door) as other:
                theirs = await other.announce()
                await put(door, theirs.upload_url, content, Manners())
                await visitor.show(theirs, size=len(content))
            return _wrong((visitor.confidences(), visitor.alerts()), (None, []))
        case "gone before the answer":
            await upload(Manners())
            hurried = asyncio.create_task(visitor.show(urls, size=len(content)))
            await asyncio.sleep(0.05)
            hurried.cancel()
            return None
        case "hoard of files":
            hoard, size = set(), 19 * 2**20
            for number in range(MAX_BYTES_OF_VISITOR // size + 1):
                hoard.add(await put(door, f"{urls.upload_url}{number}", bytes(size), Manners()))
            return _wrong(hoard, {204, 413})
        case "no message at all":
            await visitor.socket.send(secrets.token_bytes(500))
            await visitor.socket.send(BackMsg().SerializeToString())
            return None
    raise ValueError(kind)


def _wrong(answer: object, *right: object) -> str | None:
    return None if answer in right else f"{answer!r} instead of {' or '.join(map(repr, right))}"
