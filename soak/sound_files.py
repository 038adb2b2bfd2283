"""Hostile sound files through `ser.audio.io.read_sound`: a valid sound or an AudioError that names the file.

    python soak/sound_files.py [--count 100000] [--seed 0] [--json FILE] [--workers 2]

Each worker process may take 256 MiB beyond what it has when it begins, and 10 s for a file; one that dies or takes
longer is a failure of the file it was at. Every fourth file is read from disk, the others from memory. A failure is
named by its seed and its place: `python soak/hostile_sounds.py SEED PLACE FILE` writes it.
"""

import itertools
import math
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from ser.audio.io import MAX_PEAK, MAX_SECONDS, MIN_SECONDS, SILENCE_PEAK, Sound, read_sound
from ser.corpora.progress import track
from ser.data.workers import THREAD_VARIABLES
from ser.errors import AudioError
from soak.figures import Figure, conclude, parser_of
from soak.hostile_sounds import hostile_sound

RATE = 22050
SECONDS = 10.0
MEBIBYTES = 256
_REASONS = {
    "is empty": "empty",
    "it is neither": "of no kind that is read",
    "no data chunk": "no data chunk",
    "no format before": "no format",
    "samples of format": "other samples than PCM and floats",
    "holds no WAVE": "RIFF, but not WAVE",
    "cut short": "cut short",
    "has a rate of": "rate",
    "channels; 1 to": "channels",
    "lasts longer than": "too long",
    "lasts ": "too short",
    "not numbers": "NaN or infinity",
    "times full scale": "too loud",
    "is silent": "silent",
    "holds no sound": "no frames",
    "cannot be read as sound": "decoder",
}
"""Part of a message -> what the refusal is counted as; the first that fits."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file: "accepted", the kind of refusal, or, where `failed`, what went wrong."""

    place: int
    told: str
    failed: bool
    seconds: float
    peak_mib: float


def judge(content: bytes | Path, name: str) -> tuple[str, bool]:
    """Read one file; return "accepted" or the kind of refusal, or what went wrong, and whether it did."""
    try:
        sound = read_sound(content, sample_rate=RATE, name=name)
    except AudioError as refusal:
        message = str(refusal)
        if name not in message or "\n" in message or len(message) > 500:
            return f"a message that does not serve: {message[:200]!r}", True
        reason = next((reason for part, reason in _REASONS.items() if part in message), None)
        return (reason, False) if reason else (f"a refusal of an unknown kind: {message!r}", True)
    except Exception as error:  # that no other kind comes is what is measured
        return f"{type(error).__name__}: {error}"[:200], True
    fault = fault_of(sound)
    return (f"a sound whose {fault} is wrong", True) if fault else ("accepted", False)


def fault_of(sound: Sound) -> str | None:
    """Return what is wrong with a sound, or None."""
    waveform = sound.waveform
    expected = {
        "type": waveform.dtype == np.float32 and waveform.ndim == 1,
        "rate": sound.sample_rate == RATE,
        "duration": MIN_SECONDS <= sound.duration <= MAX_SECONDS,
        "length": abs(len(waveform) - sound.duration * RATE) <= 1,
        "values": bool(np.isfinite(waveform).all()),
        "peak": math.isclose(sound.peak, np.abs(waveform).max()) and SILENCE_PEAK <= sound.peak <= 2 * MAX_PEAK,
    }
    return next((what for what, right in expected.items() if not right), None)


def work(connection: Connection, seed: int, folder: Path) -> None:
    """Answer each place that comes with its outcome; what runs in a worker process."""
    held = int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (held + MEBIBYTES * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection.send("ready")
    while True:
        place = connection.recv()
        sound = hostile_sound(seed, place)
        name = f"number-{place}{sound.suffix}"
        source: bytes | Path = sound.content
        if place % 4 == 0:
            source = folder / name
            source.write_bytes(sound.content)
        started = time.perf_counter()
        told, failed = judge(source, name)
        seconds = time.perf_counter() - started
        if isinstance(source, Path):
            source.unlink()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        connection.send(Outcome(place=place, told=told, failed=failed, seconds=seconds, peak_mib=peak))


class _Worker:
    """A worker process, the place that it is at, and since when."""

    def __init__(self, seed: int, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, seed, folder), daemon=True)
        self.process.start()
        theirs.close()  # so that the death of the process is the end of the connection
        self.connection.recv()
        self.place, self.since = -1, 0.0

    def give(self, place: int) -> None:
        self.place, self.since = place, time.perf_counter()
        self.connection.send(place)

    def answer(self, *, ready: bool) -> Outcome | None:
        """Return the outcome that came, or that none will come any more; None while it may."""
        seconds = time.perf_counter() - self.since
        try:
            if ready:
                return self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            return self._lost(f"the process died (exit status {self.process.exitcode})", seconds)
        return self._lost(f"took more than {SECONDS:g} s", seconds) if seconds > SECONDS else None

    def _lost(self, told: str, seconds: float) -> Outcome:
        self.end()
        return Outcome(place=self.place, told=told, failed=True, seconds=seconds, peak_mib=0.0)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def outcomes(places: Iterable[int], *, seed: int, workers: int) -> Iterator[Outcome]:
    """Yield the outcome of every place, as they come; a worker that dies or takes too long is replaced."""
    waiting = iter(places)
    busy: list[_Worker] = []
    shared = tempfile.TemporaryDirectory()  # not the workers' own: what is killed cleans nothing up
    folder = Path(shared.name)
    try:
        for place in itertools.islice(waiting, workers):
            busy.append(_Worker(seed, folder))
            busy[-1].give(place)
        while busy:
            ready = wait([worker.connection for worker in busy], timeout=1.0)
            for worker in list(busy):
                outcome = worker.answer(ready=worker.connection in ready)
                if outcome is None:
                    continue
                busy.remove(worker)
                if (place := next(waiting, None)) is not None:
                    busy.append(_Worker(seed, folder) if worker.connection.closed else worker)
                    busy[-1].give(place)
                else:
                    worker.end()
                yield outcome
    finally:
        for worker in busy:
            worker.end()
        shared.cleanup()


def measure(count: int, *, seed: int, workers: int) -> tuple[list[Figure], dict[str, Any]]:
    """Return the figures and the details: counts by outcome, the slowest file, the peak of memory, the failures."""
    counts: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    slowest, peak = Outcome(place=-1, told="", failed=False, seconds=0.0, peak_mib=0.0), 0.0
    results = outcomes(range(count), seed=seed, workers=workers)
    for outcome in track(results, total=count, description="Sound files", unit="files"):
        peak = max(peak, outcome.peak_mib)
        slowest = max(slowest, outcome, key=lambda one: one.seconds)
        if outcome.failed:
            kind = hostile_sound(seed, outcome.place).kind
            failures.append({"seed": seed, "place": outcome.place, "kind": kind, "told": outcome.told})
        else:
            counts[outcome.told] += 1
    slow = {"place": slowest.place, "kind": hostile_sound(seed, slowest.place).kind, "seconds": slowest.seconds}
    done = sum(counts.values()) + len(failures)
    measured = (
        f"{done:,} files: {counts['accepted']:,} accepted, {done - counts['accepted'] - len(failures):,} refused, "
        f"{len(failures)} failed; slowest {slowest.seconds:.2f} s, peak {peak:.0f} MiB"
    )
    figure = Figure(
        figure="Hostile sound files (WAV, FLAC, OGG; by their structure) through the door",
        must=f"{count:,}; no crash, no untyped error, none over {SECONDS:g} s or {MEBIBYTES} MiB",
        measured=measured,
        # Where nothing is accepted, or little refused, something else is wrong.
        held=done == count and not failures and 0 < counts["accepted"] < 0.6 * done,
        command=f"python soak/sound_files.py --count {count} --seed {seed}",
    )
    return [figure], {"counts": dict(counts.most_common()), "slowest": slow, "peak_mib": peak, "failures": failures}


def main() -> int:
    """Measure, print, return the exit status."""
    parser = parser_of(__doc__, count=100_000, of="files")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    options = parser.parse_args()
    os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")
    figures, details = measure(options.count, seed=options.seed, workers=options.workers)
    status = conclude(figures, details, options.json)
    print("\n| outcome | files |\n|---|---|")
    for told, count in details["counts"].items():
        print(f"| {told} | {count:,} |")
    for failure in details["failures"]:
        print(f"failed: seed {failure['seed']}, place {failure['place']}, {failure['kind']}: {failure['told']}")
    return status


if __name__ == "__main__":
    sys.exit(main())
