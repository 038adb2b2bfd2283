"""A visitor of the app without a browser: Streamlit's own messages over a websocket, and uploads by hand-written HTTP.

Hand-written HTTP can stop in the middle, dawdle and lie about lengths, as no client library does.
"""

import asyncio
import re
import secrets
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlparse

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

PATIENCE = 180.0  # seconds that a visitor waits for an answer
_ROW = re.compile(r'ser-name">([^<]*)</span>.*?width:([\d.]+)%')  # of the bars of an answer
NAME = "same-name.wav"  # what every upload is called, so that a name tells nobody's file from another's


class Door:
    """The address of a server, and the token against forged requests that it gives a page."""

    def __init__(self, url: str) -> None:
        self.url = url
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=30) as answer:  # noqa: S310 - our own address
            cookies = [value.partition(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie"]
        (self.cookie,) = [cookie for cookie in cookies if cookie.startswith("_streamlit_xsrf=")]
        self.token = self.cookie.partition("=")[2]


@dataclass
class Visitor:
    """One open page. `elements` is what it shows, by its place, as of the last finished run of the script."""

    socket: ClientConnection
    elements: dict[tuple[int, ...], Element] = field(default_factory=dict)
    _known: dict[str, ForwardMsg] = field(default_factory=dict)  # what the server may refer to rather than send again

    async def announce(self) -> FileURLs:
        """Return where a file may be uploaded to."""
        message = BackMsg()
        message.file_urls_request.request_id = secrets.token_hex(8)
        message.file_urls_request.file_names.append(NAME)
        await self.socket.send(message.SerializeToString())
        while (answer := await self._receive()).WhichOneof("type") != "file_urls_response":
            pass
        return answer.file_urls_response.file_urls[0]

    async def show(self, urls: FileURLs, *, size: int) -> None:
        """Put one uploaded file on the page, in the place of any other, and wait until the script has run."""
        (uploader,) = self._of_type("file_uploader")
        state = WidgetState(id=uploader.id)
        info = state.file_uploader_state_value.uploaded_file_info
        info.add(name=NAME, size=size, file_id=urls.file_id, file_urls=urls)
        await self.run(state)

    def confidences(self) -> str | None:
        """Return the classes, best first, and the lengths of their bars; None where there are none."""
        rows = _ROW.findall("".join(html.body for html in self._of_type("html")))
        return "Confidences: " + ", ".join(f"{name} {length}%" for name, length in rows) if rows else None

    def alerts(self) -> list[str]:
        """Return the errors and warnings on the page."""
        return [alert.body for alert in self._of_type("alert")]

    async def run(self, *states: WidgetState) -> None:
        """Let the script run to its end, with the widgets in these states."""
        message = BackMsg()
        message.rerun_script.query_string = ""
        message.rerun_script.widget_states.widgets.extend(states)
        await self.socket.send(message.SerializeToString())
        shown: dict[tuple[int, ...], Element] = {}
        while True:
            answer = await self._receive()
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                shown = {}
            elif kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
                shown[tuple(answer.metadata.delta_path)] = answer.delta.new_element
            elif kind == "script_finished" and answer.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                self.elements = shown
                return

    def _of_type(self, kind: str) -> list[Any]:
        return [getattr(one, kind) for one in self.elements.values() if one.WhichOneof("type") == kind]

    async def _receive(self) -> ForwardMsg:
        async with asyncio.timeout(PATIENCE):
            answer = ForwardMsg.FromString(await self.socket.recv(decode=False))
        if answer.WhichOneof("type") == "ref_hash":
            known = ForwardMsg()
            known.CopyFrom(self._known[answer.ref_hash])
            known.metadata.CopyFrom(answer.metadata)
            return known
        if answer.hash:
            self._known[answer.hash] = answer
        return answer


@asynccontextmanager
async def visiting(door: Door) -> AsyncIterator[Visitor]:
    """Open a page of its own with nothing uploaded, and close it at the end."""
    async with connect(
        f"{door.url.replace('http', 'ws', 1)}/_stcore/stream", subprotocols=["streamlit", door.token], origin=door.url,
        additional_headers={"Cookie": door.cookie}, max_size=2**26, open_timeout=PATIENCE, ping_timeout=PATIENCE,
    ) as socket:  # fmt: skip
        visitor = Visitor(socket)
        async with asyncio.timeout(PATIENCE):
            await visitor.run()
        yield visitor


async def put(
    door: Door, path: str, content: bytes, *, pieces=1, pause=0.0, sent=1.0, claims=1.0, has_token=True
) -> int | None:
    """Upload `content` to `path`; return the status of the answer, None where the connection ended without one.

    Parameters
    ----------
    pieces, pause : of the body, and the seconds between them.
    sent : the fraction of the body that is sent before the connection is cut; 1 waits for the answer.
    claims : the length that the header states, as a multiple of the file's; 1 states the truth, 0 sends chunks of no
        stated length.
    """
    boundary = secrets.token_hex(16)
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{NAME}"\r\n'
    body = f"{head}Content-Type: audio/wav\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    stated = len(body) if claims == 1 else int(claims * len(content))
    address = urlparse(door.url)
    headers = [
        f"PUT /{path.lstrip('/')} HTTP/1.1",
        f"Host: {address.netloc}",
        f"Content-Type: multipart/form-data; boundary={boundary}",
        "Connection: close",
        f"Content-Length: {stated}" if claims else "Transfer-Encoding: chunked",
        *([f"Cookie: {door.cookie}", f"X-Xsrftoken: {door.token}"] if has_token else []),
    ]
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write("\r\n".join([*headers, "", ""]).encode())
            body = body[: round(len(body) * sent)]
            size = -(-len(body) // pieces)
            for start in range(0, len(body), size):
                piece = body[start : start + size]
                writer.write(piece if claims else f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                await writer.drain()
                await asyncio.sleep(pause)
            if sent < 1:
                return None
            writer.write(b"" if claims else b"0\r\n\r\n")
            status = await reader.readline()
            return int(status.split()[1]) if status else None
    except ConnectionError:  # refused before all was sent
        return None
    finally:
        writer.close()
