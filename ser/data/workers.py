"""Worker processes for numerical work: all cores, one thread each, ended when their parent ends."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import chain, islice
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from ser.errors import SerError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

log = logging.getLogger(__name__)

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Set to 1 before they are loaded, these hold numerical libraries to one thread each."""

WAITING_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""How long the threads of GNU's OpenMP, which torch brings on Linux, turn round and round when they wait."""

_CHUNKS_AHEAD = 4

_WITHOUT_GUARD = 113
"""Exit status of a worker that would start workers while it still imports the script of its parent."""
_SIGKILL = 9  # Windows has no name for it
_PATIENCE = 1000
"""Hundredths of a second that the thread of a pool has to end in once its workers were killed."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_workers(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int,
    chunk: int = 8,
    ahead: int = _CHUNKS_AHEAD,
    key: str = "workers",
) -> Iterator[Result]:
    """Yield `function(task)` for each of `tasks`, in order, computed by `workers` processes (0: by all cores).

    `function` and the tasks are pickled, so `function` stands at the top of a module. With one worker, or little to
    do, the work is done here, held to one thread just the same, so that results never depend on the number of workers.
    Tasks are taken, and results held, only some chunks ahead, so that memory is bounded for any number of tasks.

    Parameters
    ----------
    ahead : chunks of each worker that may be done before the first of them is taken; fewer where results are large.
    key : what a person sets the number of workers by, for the error.

    Raises
    ------
    SerError : a worker died; it names the likely cause. Exceptions of `function` pass through.
    """
    workers, waiting = workers or core_count(), iter(tasks)
    first = list(islice(waiting, chunk + 1))
    waiting = chain(first, waiting)
    if workers == 1 or len(first) <= chunk:
        with threadpool_limits(1):
            yield from map(function, waiting)
        return
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A worker that imports the script of its parent has come to the line that starts workers. The parent says so.
        os._exit(_WITHOUT_GUARD)
    # Spawned, not forked: a fork of a process with running threads (torch's, BLAS's) may lock up. Each is started with
    # the first chunk that no other is free for.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=start_worker)
    processes: Mapping[int, BaseProcess] = pool._processes
    pending: deque[Future[list[Result]]] = deque()
    try:
        while tasks_of_chunk := list(islice(waiting, chunk)):
            with _interrupts_held_back():
                pending.append(pool.submit(_map_chunk, function, tasks_of_chunk))
            if len(pending) > ahead * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as error:
        pool.shutdown(wait=True)  # only then is it known how they ended
        ended = [process.exitcode for process in processes.values() if process.exitcode]
        raise SerError(_cause_of_death(ended, workers=workers, key=key)) from error
    finally:
        _end(pool, processes)


def _end(pool: ProcessPoolExecutor, processes: Mapping[int, BaseProcess]) -> None:
    """Let the workers finish what they are at, so that they leave nothing half written; a second Ctrl-C kills them."""
    is_interrupted = sys.exc_info()[0] is not None
    thread: threading.Thread | None = pool._executor_manager_thread  # type: ignore[assignment]  # so typeshed
    try:
        pool.shutdown(wait=True, cancel_futures=True)
    except KeyboardInterrupt:
        hook = threading.excepthook
        threading.excepthook = lambda _: None  # of the thread of the pool, which may find its pipes closed by then
        try:
            for process in list(processes.values()):
                process.kill()
            pool.shutdown(wait=True)
            # Python takes a thread for ended once a wait for it was interrupted, and this one goes on: it would
            # print a traceback later, or close the pipe that the interpreter writes to at its end.
            for _ in range(_PATIENCE):
                if thread is None or thread.ident not in sys._current_frames():
                    break
                time.sleep(0.01)
        finally:
            threading.excepthook = hook
        if not is_interrupted:  # else the first one is on its way, and a second would be printed where this is closed
            raise


def _cause_of_death(statuses: Sequence[int], *, workers: int, key: str) -> str:
    """Return a sentence on why workers died, and what helps, from the exit statuses of all (a signal: negative)."""
    if _WITHOUT_GUARD in statuses:
        return (
            'Worker processes import the script that starts them, and it has no `if __name__ == "__main__":` around '
            f"what it does; put it under that line, or give {key}=1."
        )
    # The pool ends the others by SIGTERM once one has died.
    status = next((status for status in statuses if status != -signal.SIGTERM), -signal.SIGTERM)
    one = f"One of {workers} worker processes"
    if status == -_SIGKILL:
        return f"{one} was killed, most likely because memory ran out; start again with {key}=1, which needs the least."
    if status > 0:
        return (
            f"{one} ended with status {status}, most likely for an error that stands above; start again with {key}=1, "
            "which starts none."
        )
    return f"{one} was ended by signal {-status}; start again with {key}=1, which starts none."


class WorkerDiedError(Exception):
    """A worker process ended in the middle of its work; the message says how."""


class WorkerProcess:
    """A process that calls one function with what is sent to it, again and again, and ends with its parent.

    Other than in a pool, the death of one takes no other with it, and it is known what it was at.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Start the process; `function` is pickled, and so are its arguments and results."""
        context = multiprocessing.get_context("spawn")  # as of `map_in_workers`
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        with _interrupts_held_back():
            self._process.start()
        theirs.close()  # else its death would not be seen

    def send(self, *arguments: Any) -> None:
        """Call the function with `arguments` there; the process waits for its next call, or has died."""
        with suppress(OSError):  # it has died, as `receive` will say
            self._pipe.send(arguments)

    def receive(self) -> Any:
        """Wait for the result of the call, and return it; raises WorkerDiedError, or what the function raised."""
        try:
            result, error = self._pipe.recv()
        except (EOFError, OSError):
            self.kill()
            raise WorkerDiedError(_end_of_one(self._process.exitcode or 0)) from None
        if error is not None:
            raise error
        return result

    def kill(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def first_ready(workers: Sequence[WorkerProcess]) -> WorkerProcess:
    """Wait until one of the workers has a result, or has died; return it."""
    by_pipe = {worker._pipe: worker for worker in workers}
    ready = wait(list(by_pipe))[0]
    return next(worker for pipe, worker in by_pipe.items() if pipe is ready)


def _serve(pipe: "Connection[Any, Any]", function: Callable[..., Any]) -> None:
    start_worker()
    while True:
        try:
            arguments = pipe.recv()
        except EOFError:  # nobody is there to send any
            return
        answer: tuple[Any, Exception | None]
        try:
            answer = function(*arguments), None
        except Exception as error:  # it is the caller's to handle
            answer = None, error
        pipe.send(answer)


def _end_of_one(status: int) -> str:
    if status == -_SIGKILL:
        return "it was killed, most likely because memory ran out (fewer workers need less)"
    if status < 0:
        return f"it was ended by signal {-status}"
    return f"it ended with status {status}, most likely for an error that stands above"


def _map_chunk(function: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    return list(map(function, tasks))


def spin_briefly() -> None:
    """Let the threads of OpenMP sleep after 5 us of waiting for one another; to be called before torch is imported.

    By default each turns round for milliseconds. Where other programs run beside, it so keeps the core that the awaited
    thread needs, and training collapses to a fraction of its speed. Without any turns, though, it trains at two thirds
    on an idle machine: `benchmarks/busy_machine.py`. Results do not change. Where a variable of `WAITING_VARIABLES` is
    set already, it is left to whoever set it.
    """
    if not any(name in os.environ for name in WAITING_VARIABLES):
        os.environ["GOMP_SPINCOUNT"] = "100"


def keep_freed_memory() -> None:
    """Let this process reuse the memory that it frees; with C libraries other than glibc this does nothing.

    glibc returns it to the system, and faulting it in again takes a tenth of the time of a recording's features and a
    seventh of a training step. Freeing one large block, never touched, raises the thresholds at which it does so.
    """
    np.empty(30 * 2**20, dtype=np.uint8)  # of blocks of 32 MiB and more it takes no notice (mallopt, M_MMAP_THRESHOLD)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: it is sent to the whole group, and the parent handles it.

    A worker that only ignored the signal could still die of it while it imports, before it can ignore it. The parent
    handles it behind the block: one that came in the middle would leave a process that was given half of its start.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield  # Windows, and threads, which Ctrl-C does not reach
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which new processes inherit, for good
    held: list[int] = []
    # Another thread may still take the signal, and Python then calls the handler in this one.
    handler = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if held:
            signal.raise_signal(signal.SIGINT)


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
