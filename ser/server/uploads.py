"""From the body of a request to the files in it: in memory, within bounds, and never on a disk."""

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

from fastapi import HTTPException, Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from ser.audio.io import name_of
from ser.server.limits import Limits, Share

FIELD = "files"
"""The name of the form's field that holds the recordings."""
_MAX_NAME = 255
_HOW = f"send each recording as a file of the field {FIELD!r}, as curl does by -F {FIELD}=@hello.wav"


class Upload(NamedTuple):
    """A recording: what its sender calls it, and the bytes of its file."""

    name: str
    content: bytes


class _Parser(MultiPartParser):
    """Starlette's, which by itself writes a file of over a megabyte to the disk, and takes half a form for a form."""

    spool_max_size = 2**40
    has_ended = False

    def on_end(self) -> None:
        self.has_ended = True


async def read_uploads(request: Request, limits: Limits, held: Share) -> list[Upload]:
    """Return the recordings of a form, one or more.

    Parameters
    ----------
    held : the bytes of the body are added to it as they come.

    Raises
    ------
    HTTPException : 400 where the body is no such form, 408 where it does not arrive in time, 413 where there is too
        much of it, 415 where it is something else, 503 as `Share.add`.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(415, f"The body should be a form (multipart/form-data): {_HOW}.")
    body = _bounded(request, limits, held)
    parser = _Parser(request.headers, body, max_files=limits.max_files, max_fields=0)
    try:
        async with asyncio.timeout(limits.upload_seconds):
            form = await parser.parse()
    except TimeoutError:
        raise HTTPException(408, f"The body did not arrive within {limits.upload_seconds:g} s.") from None
    except MultiPartException as error:
        raise _refusal(error.message, limits) from None
    except ClientDisconnect:
        raise HTTPException(400, "The connection ended before the body did.") from None
    try:
        if not parser.has_ended:
            raise HTTPException(400, "The form is cut short: its last boundary is missing.")
        return _uploads_of(form, limits)
    finally:
        await form.close()


async def _bounded(request: Request, limits: Limits, held: Share) -> AsyncGenerator[bytes, None]:
    too_large = HTTPException(413, f"The body has more than {limits.max_request_bytes // 2**20} MiB.")
    stated = request.headers.get("content-length", "0")
    if not stated.isdecimal() or int(stated) > limits.max_request_bytes:
        raise too_large
    n_bytes = 0
    async for chunk in request.stream():
        n_bytes += len(chunk)
        if n_bytes > limits.max_request_bytes:
            raise too_large
        held.add(len(chunk))
        yield chunk
        await asyncio.sleep(0)  # others have their turn between the chunks of one that is sent fast


def _refusal(message: str, limits: Limits) -> HTTPException:
    if message.startswith("Too many files"):
        return HTTPException(413, f"There are more than {limits.max_files} files; send several requests.")
    reason = f"it holds more than files; {_HOW}" if message.startswith("Too many fields") else message.rstrip(".")
    return HTTPException(400, f"The form cannot be read: {reason}.")


def _uploads_of(form: FormData, limits: Limits) -> list[Upload]:
    uploads = []
    for field, file in form.multi_items():
        assert isinstance(file, UploadFile)  # others are refused by the parser
        if field != FIELD:
            raise HTTPException(400, f"The form has a field {field[:_MAX_NAME]!r}; {_HOW}.")
        name = (file.filename or name_of(b""))[:_MAX_NAME]
        if file.size is not None and file.size > limits.max_file_bytes:
            megabytes = limits.max_file_bytes // 2**20
            raise HTTPException(413, f"{name} has {file.size / 2**20:.0f} MiB; at most {megabytes} MiB can be read.")
        uploads.append(Upload(name, file.file.read()))
        file.file.close()  # at once, so that no more than one is held twice
    if not uploads:
        raise HTTPException(400, f"The form holds no file; {_HOW}.")
    return uploads
