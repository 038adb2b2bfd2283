"""Limits of what the server does at once: many visitors share one small machine."""

import gc
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from streamlit.runtime import Runtime, get_instance
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from threadpoolctl import threadpool_limits

AT_ONCE = 2
"""Recordings decoded and predicted at the same time, of all visitors together."""
MAX_WAITING = 60
"""Visitors who may wait for their turn; one more is turned away."""
PATIENCE_SECONDS = 90.0
"""How long one recording waits for its turn."""
MAX_BYTES_OF_VISITOR = 100 * 2**20
"""Of all uploads that the server holds for one visitor; the 104 recordings of an actor have 40 MB."""
MAX_BYTES_OF_ALL = 300 * 2**20
"""Of all uploads that it holds."""

_add_unbounded = MemoryUploadedFileManager.add_file
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class BusyError(Exception):
    """Too many visitors are waiting, or one has waited too long."""


class Capacity:
    """The turns that all visitors of a process share.

    Parameters
    ----------
    at_once : turns at the same time.
    max_waiting : visitors that may wait for one.
    patience : seconds that one waits.
    """

    def __init__(
        self, *, at_once: int = AT_ONCE, max_waiting: int = MAX_WAITING, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._turns = threading.BoundedSemaphore(at_once)
        self._places = threading.BoundedSemaphore(at_once + max_waiting)
        self._patience = patience

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and give it back at the end.

        Raises
        ------
        BusyError : no place to wait, or none of the others was done in time.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError
        try:
            if not self._turns.acquire(timeout=self._patience):
                raise BusyError
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()


def keep_uploads_in_memory(max_bytes: int) -> None:
    """Keep Starlette, on which Streamlit stands, from spooling uploads of up to `max_bytes` to temporary files."""
    MultiPartParser.spool_max_size = max_bytes


def bound_uploads(*, of_visitor: int, of_all: int) -> None:
    """Make Streamlit refuse an upload with status 413 where it would hold more bytes of a visitor, or of all.

    By itself it bounds a file, but neither their number nor their sum, and keeps them for two minutes after a visitor
    has left. Those of visitors who have left make room first.
    """

    def add_file(manager: MemoryUploadedFileManager, session_id: str, file: UploadedFileRec) -> None:
        others = {name: one for name, one in manager.file_storage.get(session_id, {}).items() if name != file.file_id}
        held = _bytes_of(others) + len(file.data)
        if held > of_visitor:
            raise HTTPException(413, f"More than {of_visitor} bytes of uploads; remove some.")
        if _bytes_of_others(manager, session_id) + held > of_all:
            _forget_who_has_left(manager)
        if _bytes_of_others(manager, session_id) + held > of_all:
            raise HTTPException(413, "The server holds as many uploads as it can; try again in a minute.")
        _add_unbounded(manager, session_id, file)

    MemoryUploadedFileManager.add_file = add_file


def _bytes_of(files: Mapping[str, UploadedFileRec]) -> int:
    return sum(len(file.data) for file in files.values())


def _bytes_of_others(manager: MemoryUploadedFileManager, session_id: str) -> int:
    return sum(_bytes_of(files) for name, files in list(manager.file_storage.items()) if name != session_id)


def _forget_who_has_left(manager: MemoryUploadedFileManager) -> None:
    if not Runtime.exists():  # outside a server there is nobody to be gone
        return
    for session_id in list(manager.file_storage):
        if not get_instance().is_active_session(session_id):
            manager.remove_session_files(session_id)


def hold_to_one_thread() -> None:
    """Hold numerical libraries to one thread a call, for the rest of the process: turns are what runs side by side.

    The limit reaches the libraries that are loaded by now, the variables those that a model will load (PyTorch).
    """
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    threadpool_limits(1)


def spare_from_collections() -> None:
    """Let garbage collections pass over all that there is by now, for the rest of the process.

    Streamlit collects after every run of the page, while all visitors wait; most of what it would look through are the
    modules, which are never garbage.
    """
    gc.collect()
    gc.freeze()
