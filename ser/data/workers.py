"""Worker processes for numerical work: all cores, one thread each, ended when their parent ends."""

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from ser.errors import SerError

log = logging.getLogger(__name__)

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Set to 1 before they are loaded, these hold numerical libraries to one thread each."""

_CHUNKS_AHEAD = 4
"""Of each worker: what it may have done before the first of it is taken."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_workers(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int, chunk: int = 8
) -> Iterator[Result]:
    """Yield `function(task)` for each of `tasks`, in order, computed by `workers` processes (0: by all cores).

    `function` and the tasks are pickled, so `function` stands at the top of a module. With one worker, or little to
    do, the work is done here, held to one thread just the same, so that results never depend on the number of workers.
    Tasks are taken, and results held, only some chunks ahead, so that memory is bounded for any number of tasks.

    Raises
    ------
    SerError : a worker died (out of memory, mostly). Exceptions of `function` pass through.
    """
    workers, waiting = workers or core_count(), iter(tasks)
    first = list(islice(waiting, chunk + 1))
    waiting = chain(first, waiting)
    if workers == 1 or len(first) <= chunk:
        with threadpool_limits(1):
            yield from map(function, waiting)
        return
    # Spawned, not forked: a fork of a process with running threads (torch's, BLAS's) may lock up. Each is started with
    # the first chunk that no other is free for.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=start_worker)
    pending: deque[Future[list[Result]]] = deque()
    try:
        while tasks_of_chunk := list(islice(waiting, chunk)):
            with _interrupts_held_back():
                pending.append(pool.submit(_map_chunk, function, tasks_of_chunk))
            if len(pending) > _CHUNKS_AHEAD * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as error:
        raise SerError(
            f"One of {workers} worker processes died, most likely because memory ran out; start again to go on where "
            "it stopped, with fewer workers if need be."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _map_chunk(function: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    return list(map(function, tasks))


def keep_freed_memory() -> None:
    """Let this process reuse the memory that it frees; with C libraries other than glibc this does nothing.

    glibc returns it to the system, and faulting it in again takes a tenth of the time of a recording's features and a
    seventh of a training step. Freeing one large block, never touched, raises the thresholds at which it does so.
    """
    np.empty(30 * 2**20, dtype=np.uint8)  # of blocks of 32 MiB and more it takes no notice (mallopt, M_MMAP_THRESHOLD)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: it is sent to the whole group, and the parent handles it.

    A worker that only ignored the signal could still die of it while it imports, before it can ignore it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which new processes inherit, for good
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker() -> None:
    """Hold this process to one thread, and let it end when the process that started it ends."""
    # With as many processes as cores, threads of BLAS and OpenMP inside each only fight each other. The limit reaches
    # the libraries that are loaded by now, the variables those that the first task will load: mostly all of them.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    threadpool_limits(1)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
