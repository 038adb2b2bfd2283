"""How much the server works on at once: many visitors share one small machine."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.formparsers import MultiPartParser
from threadpoolctl import threadpool_limits

AT_ONCE = 2
"""Recordings decoded and judged at the same time, of all visitors together."""
MAX_WAITING = 60
"""Visitors who may wait for their turn; one more is asked to come back."""
PATIENCE_SECONDS = 90.0
"""How long one recording waits for its turn."""

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
    """Tell Starlette, on which Streamlit stands, not to spool uploads of up to `max_bytes` to temporary files."""
    MultiPartParser.spool_max_size = max_bytes


def hold_to_one_thread() -> None:
    """Hold numerical libraries to one thread a call, for the rest of the process: turns are what runs side by side.

    The limit reaches the libraries that are loaded by now, the variables those that a model will load (PyTorch).
    """
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    threadpool_limits(1)
