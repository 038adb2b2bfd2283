"""A long list of items as tasks that are done once each, however often the run is killed, here or on a cluster of Ray.

A task is some consecutive items. Its result is a table, written as one Parquet file, whole or not at all; it is done if
and only if that file is there. So a run that is started again does what is missing: nothing is lost, nothing doubled.
The plan, `_plan.json` beside the files, tells whether they belong to the same items and settings; what reads the folder
as one table passes over it, as over all names that begin with an underscore or a dot.
"""

import hashlib
import json
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from threadpoolctl import threadpool_limits

from ser.data.files import locked_or_refused
from ser.data.places import Folder
from ser.data.ray_cluster import ray_started
from ser.data.workers import WorkerDiedError, WorkerProcess, core_count, first_ready, start_worker
from ser.errors import SerError, SettingsError, missing_package

if TYPE_CHECKING:
    import pyarrow as pa

PLAN = "_plan.json"
Launcher = Literal["processes", "ray"]
Work = Callable[[Sequence[Any], int], "pa.Table"]
"""Takes the items of a task and its number, from 0; returns its rows."""

_ATTEMPTS = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which items there are, how they are cut into tasks, and what the results depend on.

    Attributes
    ----------
    items : in a fixed order, each a plain value as JSON has them. They are kept once, and sent task by task.
    size : items of a task; the last one may have fewer.
    depends : what else a result depends on, by a name for people: {"model": "sha256:..."}.
    """

    items: Sequence[Any]
    size: int
    depends: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SettingsError(f"A task has {self.size} items, but should have 1 or more.")

    @property
    def n_tasks(self) -> int:
        return -(-len(self.items) // self.size)

    def task(self, number: int) -> Sequence[Any]:
        """Return the items of a task."""
        return self.items[number * self.size : (number + 1) * self.size]

    def to_dict(self) -> dict[str, Any]:
        """Return what is kept of the plan: the items as a digest."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(json.dumps(item).encode() + b"\n")
        counts = {"n_items": len(self.items), "items_of_a_task": self.size}
        return {**counts, "items": f"sha256:{digest.hexdigest()}", "depends": dict(self.depends)}


@dataclass(frozen=True, kw_only=True)
class TaskReport:
    """A task that is done.

    Attributes
    ----------
    number : from 0; n_items : how many it has.
    seconds : it took in its worker, model or other preparations apart; None: its file was there already.
    """

    number: int
    n_items: int
    seconds: float | None


def part_name(number: int) -> str:
    """Return the name of the file of a task: the order of the names is that of the items."""
    return f"part-{number:06d}.parquet"


def run_tasks(
    plan: Plan,
    make_work: Callable[[], Work],
    *,
    folder: str,
    launcher: Launcher = "processes",
    workers: int = 0,
    address: str | None = None,
    resume: bool = True,
) -> Iterator[TaskReport]:
    """Do the tasks whose file is missing; yield a report of each, first of those done before.

    Memory does not grow with the number of tasks: a worker holds one, the caller the items. A task whose worker dies is
    tried once more. What `make_work` and the work raise ends the run; the files that are there stay.

    Parameters
    ----------
    make_work : returns the function that does a task; called once in each worker, where it may load a model. It is
        pickled, so its function or class stands at the top of a module.
    folder : where the plan and the files are: a path or an address (`ser.data.places`). On a cluster, one that every
        machine reaches.
    launcher : worker processes on this machine, or tasks of Ray. One process is this one.
    workers : tasks at once; 0: as many as there are cores, of this machine or of the cluster.
    address : of a cluster of Ray; None: Ray is started on this machine.
    resume : go on with a folder that has a plan already.

    Raises
    ------
    SettingsError : the folder has another plan, or one although `resume` is false, or files of tasks but no plan; or
        another process is at work in it; or a package is missing.
    SerError : a worker died twice of the same task; the error names the task.
    OSError : a file cannot be written.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise SettingsError(f"{missing_package(error, f'{folder} (as Parquet)')}.") from error
    place = Folder(folder)
    with ExitStack() as stack:
        stack.enter_context(_sole_use(place))
        names = _begin(plan, place, resume=resume)
        done = [number for number in range(plan.n_tasks) if part_name(number) in names]
        for number in done:
            yield TaskReport(number=number, n_items=len(plan.task(number)), seconds=None)
        waiting = deque(sorted({*range(plan.n_tasks)} - {*done}))
        if not waiting:
            return
        if launcher == "processes" and workers == 1:
            work = make_work()
            for number in waiting:
                with threadpool_limits(1):
                    report = _do(work, _Task(number, plan.task(number), place))
                yield report
            return
        pickled = pickle.dumps(make_work)
        slots: _Slots
        if launcher == "ray":
            slots = stack.enter_context(_ray_slots(pickled, workers=workers, address=address))
        else:
            slots = stack.enter_context(_process_slots(pickled, workers=min(workers or core_count(), len(waiting))))
        yield from _run(plan, place, waiting, slots)


@dataclass(frozen=True)
class _Task:
    number: int
    items: Sequence[Any]
    folder: Folder


class _Slots(Protocol):
    """Where tasks run side by side."""

    n: int

    def submit(self, task: _Task) -> Any:
        """Start a task; return what stands for it."""

    def wait(self, running: Sequence[Any]) -> Any:
        """Return one that has ended."""

    def result(self, ended: Any) -> TaskReport:
        """Return its report; raises WorkerDiedError, or what the task raised."""


def _run(plan: Plan, place: Folder, waiting: deque[int], slots: _Slots) -> Iterator[TaskReport]:
    running: dict[Any, int] = {}
    attempts: dict[int, int] = {}
    while waiting or running:
        while waiting and len(running) < slots.n:
            number = waiting.popleft()
            running[slots.submit(_Task(number, plan.task(number), place))] = number
        ended = slots.wait(list(running))
        number = running.pop(ended)
        try:
            report = slots.result(ended)
        except WorkerDiedError as error:
            attempts[number] = attempts.get(number, 0) + 1
            if attempts[number] == _ATTEMPTS:
                start = number * plan.size
                raise SerError(
                    f"Task {number} (items {start:,} to {start + len(plan.task(number)) - 1:,}, counted from 0) ended "
                    f"its worker twice: {error}; what is done is kept in {place}."
                ) from error
            waiting.appendleft(number)
        else:
            yield report


def _do(work: Work, task: _Task) -> TaskReport:
    """Do a task, and write its file."""
    import pyarrow.parquet as pq

    started = time.perf_counter()
    table = work(task.items, task.number)
    with task.folder.writing(part_name(task.number)) as file:
        pq.write_table(table, file)
    return TaskReport(number=task.number, n_items=len(task.items), seconds=time.perf_counter() - started)


@lru_cache(maxsize=1)
def _made(pickled: bytes) -> Work:
    """Return the work of a worker: made for its first task, and there for the others."""
    work: Work = pickle.loads(pickled)()  # noqa: S301 - of the process that started this one
    return work


def _do_in_worker(pickled: bytes, task: _Task) -> TaskReport:
    return _do(_made(pickled), task)


def _do_by_ray(pickled: bytes, task: _Task) -> TaskReport:
    start_worker()
    return _do_in_worker(pickled, task)


class _ProcessSlots:
    """Worker processes of this machine; a new one is started in the place of one that died."""

    def __init__(self, pickled: bytes, *, workers: int) -> None:
        self.n, self._pickled = workers, pickled
        self._idle: list[WorkerProcess] = []
        self._busy: list[WorkerProcess] = []

    def submit(self, task: _Task) -> WorkerProcess:
        worker = self._idle.pop() if self._idle else WorkerProcess(_do_in_worker)
        self._busy.append(worker)
        worker.send(self._pickled, task)
        return worker

    def wait(self, running: Sequence[WorkerProcess]) -> WorkerProcess:
        return first_ready(running)

    def result(self, ended: WorkerProcess) -> TaskReport:
        self._busy.remove(ended)
        report: TaskReport = ended.receive()
        self._idle.append(ended)
        return report

    def end(self) -> None:
        """Kill what is left: a task is written whole or not at all, so there is nothing to wait for."""
        for worker in [*self._idle, *self._busy]:
            worker.kill()


@contextmanager
def _process_slots(pickled: bytes, *, workers: int) -> Iterator[_ProcessSlots]:
    slots = _ProcessSlots(pickled, workers=workers)
    try:
        yield slots
    finally:
        slots.end()


class _RaySlots:
    """Tasks of Ray, each on one core."""

    def __init__(self, ray: Any, pickled: bytes, *, n: int) -> None:
        self.n, self._ray = n, ray
        self._pickled = ray.put(pickled)
        self._run = ray.remote(max_retries=0, num_cpus=1)(_do_by_ray)  # `_run` tries once more

    def submit(self, task: _Task) -> Any:
        return self._run.remote(self._pickled, task)

    def wait(self, running: Sequence[Any]) -> Any:
        return self._ray.wait(running, num_returns=1)[0][0]

    def result(self, ended: Any) -> TaskReport:
        try:
            report: TaskReport = self._ray.get(ended)
        except self._ray.exceptions.RayTaskError as error:  # what the task raised
            raise error.cause from None
        except self._ray.exceptions.RayError as error:  # its process or its machine is gone
            raise WorkerDiedError(" ".join(str(error).split())[:200] or type(error).__name__) from error
        return report


@contextmanager
def _ray_slots(pickled: bytes, *, workers: int, address: str | None) -> Iterator[_RaySlots]:
    with ray_started(address, what="--launcher ray", key="--address", cpus=workers or None) as ray:
        yield _RaySlots(ray, pickled, n=workers or max(1, int(ray.cluster_resources().get("CPU", 1))))


@contextmanager
def _sole_use(place: Folder) -> Iterator[None]:
    """Hold a folder for this process, and remove what killed ones have left half written. An address is not held."""
    if place.local is None:
        yield
        return
    place.local.mkdir(parents=True, exist_ok=True)
    with (place.local / ".lock").open("ab") as file:
        locked_or_refused(file, place.local)
        for leftover in place.local.glob(".*.partial"):
            with suppress(OSError):
                leftover.unlink()
        yield


def _begin(plan: Plan, place: Folder, *, resume: bool) -> set[str]:
    """Compare the plan with that of the folder, or write it there; return the names in the folder."""
    names = place.names()
    new = plan.to_dict()
    if PLAN in names:
        if not resume:
            raise SettingsError(f"{place} has results already; go on with them by `--resume`, or name another folder.")
        try:
            old = json.loads(place.read(PLAN))
        except ValueError as error:
            raise SettingsError(f"{place}/{PLAN} is damaged; name another folder.") from error
        if different := _difference(old, new):
            raise SettingsError(f"{place} was begun with {different}; name another folder.")
        return names
    if any(name.endswith(".parquet") for name in names):
        raise SettingsError(f"{place} holds Parquet files, but no {PLAN}, so they are of something else; name another.")
    with place.writing(PLAN) as file:
        file.write(f"{json.dumps(new, indent=1)}\n".encode())
    return names


def _difference(old: Any, new: Mapping[str, Any]) -> str | None:
    """Return in words what of a plan was different."""
    if not isinstance(old, dict) or not isinstance(old.get("depends"), dict):
        return "another kind of plan"
    if old.get("items_of_a_task") != new["items_of_a_task"]:
        return f"{old.get('items_of_a_task')} items in a task, not {new['items_of_a_task']}"
    for name in {**old["depends"], **new["depends"]}:
        before, now = old["depends"].get(name), new["depends"].get(name)
        if before != now:
            return f"another {name} ({before}, not {now})"
    if old.get("n_items") != new["n_items"]:
        return f"other items ({old.get('n_items'):,} of them, not {new['n_items']:,})"
    return None if old.get("items") == new["items"] else "other items, though as many, or in another order"
