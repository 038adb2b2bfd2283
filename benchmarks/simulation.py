"""Preparation, scoring and training on many machines, event by event; benchmarks/cluster.py prints its tables.

Tasks, a part of the corpus each: the driver hands them out one at a time, a core reads its part from the storage that
all share, computes, and writes. Times of tasks are log-normal, some machines are slow, and a machine that dies loses
what it had begun. Training is synchronous: each step waits for the slowest rank, and a death sends all back to the last
checkpoint. tests/benchmarks/test_simulation.py compares it with closed formulas.
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

SECONDS_OF_UTTERANCE = 4.0
HOUR, GB = 3600.0, 1e9


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What was measured, with the command that printed it; `--rates` names a JSON file with other values."""

    prepared: float = 90.0
    """Utterances that a core prepares in a second: `python benchmarks/preparation.py`, 1,440 in 8.0 s on two."""
    scored: float = 110.0
    """Utterances that a core scores in a second: `python benchmarks/folder.py`, 219/s on two."""
    trained: float = 181.0
    """Samples that a training rank takes in a second: `python benchmarks/training.py`."""
    cores_of_rank: int = 2
    """Threads in that measurement."""
    batch: int = 8
    """Samples a step and rank in that measurement."""
    model_bytes: float = 4 * 724_616
    """Gradients that the ranks exchange in each step, float32: those of the baseline network."""
    source_bytes: float = 2 * 16_000 * SECONDS_OF_UTTERANCE
    """16 bits at 16 kHz."""
    prepared_bytes: float = 4 * 187 * 173
    """187 features of 173 frames, float32."""
    scored_bytes: float = 300.0
    """A row of the table."""
    listed: float = 7_700.0
    """Files a second that the driver finds and checks: `python benchmarks/million_rows.py`, a million in 130 s."""
    row_bytes: float = 2_300.0
    """Memory of the driver for a row: the same command, 2.3 GB for a million."""
    start_of_row: float = 89e-6
    """Seconds that each start of a training takes for a row: the same command, 89 s for a million."""
    task_seconds: float = 0.002
    """The driver's time for a task, to hand it out and to note its end: assumed."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What is assumed of the machines; each is an option of the command.

    Attributes
    ----------
    cores, memory_gb : of a machine.
    storage_gb_s : of all machines together; `network_gb_s` : of one.
    open_ms : from asking for a file until its first byte; files of a part are read one after another.
    mtbf_hours : mean time between the deaths of one machine; `away_minutes` : until another has taken its place.
    spread, step_spread : standard deviation of the logarithm of a task's time, and of a training step's.
    slow : fraction of machines that take `slow_factor` times as long.
    part : utterances a task.
    checkpoint_minutes : between checkpoints of a training, 0: one an epoch, as `ser train` does.
    checkpoint_seconds : that each of them takes.
    price : of a core-hour.
    """

    machines: int = 1
    cores: int = 32
    memory_gb: float = 128.0
    storage_gb_s: float = 2.5
    network_gb_s: float = 1.25
    open_ms: float = 1.0
    mtbf_hours: float = 1000.0
    away_minutes: float = 5.0
    spread: float = 0.3
    step_spread: float = 0.1
    slow: float = 0.05
    slow_factor: float = 2.0
    part: int = 1000
    checkpoint_minutes: float = 0.0
    checkpoint_seconds: float = 2.0
    price: float = 0.05

    @property
    def n_slow(self) -> int:
        return round(self.slow * self.machines)

    @property
    def bandwidth(self) -> float:
        """Bytes a second from and to the storage, of all machines together: its own, or that of their networks."""
        return min(self.storage_gb_s, self.machines * self.network_gb_s) * GB


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How a stage went.

    Attributes
    ----------
    seconds : from its first task to the end of its last.
    computing, storage, driver : how much of that time cores, storage (with the network) and driver were busy, 0 to 1.
    again : core-seconds of work that was lost and done again, as a fraction of the useful ones.
    deaths : of machines.
    """

    seconds: float
    computing: float
    storage: float
    driver: float
    again: float = 0.0
    deaths: int = 0

    @property
    def bottleneck(self) -> str:
        """What was busiest; "idle cores" where nothing was busy for half of the time."""
        busy = {"storage": self.storage, "driver": self.driver, "cores": self.computing}
        name = max(busy, key=lambda one: busy[one])
        return name if busy[name] >= 0.5 else "idle cores"


class _Storage:
    """Transfers that share a bandwidth evenly, no single one faster than `most`, bytes a second both.

    All transfers under way have moved on by the same bytes in the same time, so that of each only the mark is kept at
    which it ends, on a scale of the bytes that one transfer would have moved since the beginning.
    """

    def __init__(self, bandwidth: float, most: float) -> None:
        self._bandwidth, self._most = bandwidth, most
        self._now = self._mark = self.moved = 0.0
        self._ends: list[tuple[float, int, Any]] = []
        self._gone: set[int] = set()
        self._number = 0

    def _rate(self) -> float:
        return min(self._most, self._bandwidth / max(len(self._ends) - len(self._gone), 1))

    def advance(self, now: float) -> None:
        passed = self._rate() * (now - self._now)
        self._mark, self._now = self._mark + passed, now
        self.moved += passed * (len(self._ends) - len(self._gone))

    def begin(self, n_bytes: float, task: Any) -> int:
        """Begin a transfer now, and return its number."""
        self._number += 1
        heapq.heappush(self._ends, (self._mark + n_bytes, self._number, task))
        return self._number

    def cancel(self, number: int) -> None:
        self._gone.add(number)

    def next_end(self) -> float:
        while self._ends and self._ends[0][1] in self._gone:
            self._gone.discard(heapq.heappop(self._ends)[1])
        return self._now + max(self._ends[0][0] - self._mark, 0.0) / self._rate() if self._ends else math.inf

    def pop(self) -> Any:
        return heapq.heappop(self._ends)[2]


@dataclass(eq=False)
class _Task:
    """A task in flight: its machine, when it began, and the number of its transfer under way."""

    machine: int
    began: float
    transfer: int = 0
    is_computed: bool = False
    is_lost: bool = False


def run_tasks(
    n_tasks: int,
    cluster: Cluster,
    *,
    compute: float,
    read: float,
    write: float,
    driver: float,
    wait: float = 0.0,
    seed: int,
) -> Stage:
    """Simulate tasks that do not need each other.

    Parameters
    ----------
    compute, wait, driver : seconds of each task: of its core, mean; of waiting for files; of the driver.
    read, write : bytes of each task.
    """
    rng = np.random.default_rng(seed)
    storage = _Storage(cluster.bandwidth, cluster.network_gb_s * GB)
    free = deque(machine for _ in range(cluster.cores) for machine in range(cluster.machines))
    alive = [True] * cluster.machines
    flying: list[set[_Task]] = [set() for _ in range(cluster.machines)]
    events: list[tuple[float, int, str, Any]] = []
    todo, left, number, deaths, handed = n_tasks, n_tasks, 0, 0, 0
    now = asked = lost = used = 0.0

    def at(time: float, kind: str, what: Any) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (time, number, kind, what))

    def computing(task: _Task) -> float:
        factor = cluster.slow_factor if task.machine < cluster.n_slow else 1.0
        return compute * factor * math.exp(rng.normal(-(cluster.spread**2) / 2, cluster.spread))

    def hand_out() -> None:
        nonlocal todo, asked, handed
        while todo and free:
            machine = free.popleft()
            todo, handed = todo - 1, handed + 1
            asked = max(asked, now) + driver
            task = _Task(machine, asked)
            flying[machine].add(task)
            at(asked, "read", task)

    for machine in range(cluster.machines):
        if math.isfinite(cluster.mtbf_hours):
            at(rng.exponential(cluster.mtbf_hours * HOUR), "death", machine)
    hand_out()
    while left:
        if (ends := storage.next_end()) <= (events[0][0] if events else math.inf):
            storage.advance(now := ends)
            kind, what = "moved", storage.pop()
        else:
            now, _, kind, what = heapq.heappop(events)
            storage.advance(now)
        if kind == "death":
            deaths += 1
            alive[what] = False
            for task in flying[what]:
                task.is_lost = True
                lost += max(now - task.began, 0.0)
                if task.transfer:
                    storage.cancel(task.transfer)
            todo += len(flying[what])
            flying[what].clear()
            free = deque(machine for machine in free if machine != what)
            at(now + 60 * cluster.away_minutes, "back", what)
        elif kind == "back":
            alive[what] = True
            free.extend([what] * cluster.cores)
            at(now + rng.exponential(cluster.mtbf_hours * HOUR), "death", what)
        elif what.is_lost:
            continue
        elif kind == "read":
            what.transfer = storage.begin(read, what)
        elif kind == "moved" and not what.is_computed:
            what.transfer, seconds = 0, computing(what)
            used += seconds
            at(now + wait + seconds, "write", what)
        elif kind == "write":
            what.is_computed, what.transfer = True, storage.begin(write, what)
        else:
            left -= 1
            flying[what.machine].discard(what)
            free.append(what.machine)
        hand_out()
    cores = cluster.machines * cluster.cores
    return Stage(
        seconds=now, computing=used / (cores * now), storage=storage.moved / (cluster.bandwidth * now),
        driver=handed * driver / now, again=lost / (n_tasks * (compute + wait) or 1.0), deaths=deaths,
    )  # fmt: skip


def n_ranks(cluster: Cluster, rates: Rates) -> int:
    """Return the number of training ranks."""
    return cluster.machines * max(cluster.cores // rates.cores_of_rank, 1)


def step_seconds(cluster: Cluster, rates: Rates, *, seed: int) -> tuple[float, float, float]:
    """Return the mean seconds of a training step: as a whole, those of its slowest rank, and those of its reading.

    Reading the next batches goes on beside; gradients are exchanged in a ring of machines, in 2 (m - 1) / m of their
    bytes, and with 50 microseconds for each of its 2 log2(m) turns.
    """
    ranks, m = n_ranks(cluster, rates), cluster.machines
    factors = np.where(np.arange(ranks) % m < cluster.n_slow, cluster.slow_factor, 1.0)
    times = np.random.default_rng(seed).normal(-(cluster.step_spread**2) / 2, cluster.step_spread, (200, ranks))
    slowest = float((factors * np.exp(times)).max(axis=1).mean()) * rates.batch / rates.trained
    exchange = 2 * (m - 1) / m * rates.model_bytes / (cluster.network_gb_s * GB) + 2 * math.log2(m) * 50e-6
    reading = ranks * rates.batch * rates.prepared_bytes / cluster.bandwidth
    return max(slowest + exchange, reading), slowest, reading


def train(n_utterances: int, epochs: float, cluster: Cluster, rates: Rates, *, seed: int) -> Stage:
    """Simulate a synchronous training, which a death of any machine sends back to its last checkpoint."""
    rng = np.random.default_rng(seed)
    step, _, reading = step_seconds(cluster, rates, seed=seed)
    steps = epochs * math.ceil(n_utterances / (n_ranks(cluster, rates) * rates.batch))
    work = steps * step
    interval = 60 * cluster.checkpoint_minutes or work / epochs
    start = n_utterances * rates.start_of_row
    between_deaths = cluster.mtbf_hours * HOUR / cluster.machines
    now, done, deaths, lost = start, 0.0, 0, 0.0
    death = now + rng.exponential(between_deaths) if math.isfinite(between_deaths) else math.inf
    while done < work:
        block = min(interval, work - done)
        end = now + block + cluster.checkpoint_seconds
        if end <= death:
            now, done = end, done + block
            continue
        deaths, lost = deaths + 1, lost + death - now
        now = death + 60 * cluster.away_minutes + start
        death = now + rng.exponential(between_deaths)
    useful = steps * rates.batch / rates.trained
    return Stage(
        seconds=now, computing=useful / now, storage=steps * reading / now, driver=0.0, again=lost / work, deaths=deaths
    )


def checkpoint_interval(between_deaths: float, checkpoint_seconds: float) -> float:
    """Return the interval between checkpoints that loses the least, in seconds: Young's formula, sqrt(2 c M)."""
    return math.sqrt(2 * checkpoint_seconds * between_deaths)


def prepare(n: int, cluster: Cluster, rates: Rates, *, seed: int = 0) -> Stage:
    """Simulate the preparation of `n` utterances."""
    return _by_parts(n, cluster, rates, rates.prepared, rates.prepared_bytes, seed)


def score(n: int, cluster: Cluster, rates: Rates, *, seed: int = 0) -> Stage:
    """Simulate the scoring of `n` utterances."""
    return _by_parts(n, cluster, rates, rates.scored, rates.scored_bytes, seed)


def _by_parts(n: int, cluster: Cluster, rates: Rates, rate: float, written: float, seed: int) -> Stage:
    part = cluster.part
    return run_tasks(
        math.ceil(n / part), cluster, compute=part / rate, read=part * rates.source_bytes, write=part * written,
        driver=rates.task_seconds, wait=part * cluster.open_ms / 1000, seed=seed,
    )  # fmt: skip
