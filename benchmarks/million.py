"""Scoring many short utterances in parts: rates, memory, and what ten kills of the whole process group leave.

    python benchmarks/million.py [--count 100000] [--kills 10] [--model ser-ravdess] [--launcher processes]

`ser predict` scores utterances of half a second, which are made when they are read (`utterances.py`), through the path
of any other address. It runs three times: a fifth of them by one worker, all by two, and all by two again. In the last
run SIGKILL ends the whole process group at random moments, from a seed, and the same command with `--resume` goes on.
The benchmark fails where a recording is lost or doubled, or a row differs from that of the run that was not killed.
Memory is the PSS of all processes, looked at twice a second, its peak in the first and in the last tenth of the parts.
It has grown where it is over 5% more in the last tenth; of fewer than some 20,000 utterances the first is the start.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from process_memory import family, memory_of
from recordings import importing_ser
from utterances import known_to_fsspec

GROWTH_LIMIT = 1.05
_SECONDS_BETWEEN_LOOKS = 0.5


class Scoring:
    """A folder of parts, and the command that fills it, which may be started again and again."""

    def __init__(
        self, folder: Path, count: int, *, part_size: int, options: list[str], environment: dict[str, str]
    ) -> None:
        self.folder, self.n_parts = folder, -(-count // part_size)
        self.command = [
            *(sys.executable, "-m", "ser", "predict", f"utterances://{count}", "--output", f"{folder}/"),
            *("--resume", "--part-size", str(part_size), *options),
        ]
        self.environment = environment
        self.peaks = [0] * 10  # PSS in bytes, of each tenth of the parts
        self.seconds = 0.0

    def n_done(self) -> int:
        """Return how many parts there are."""
        return len(list(self.folder.glob("part-*.parquet")))

    def run(self, *, until: float | None = None, wait: float = 0.0) -> None:
        """Run the command to its end; or kill it and all its processes `wait` seconds after `until` parts are there."""
        started = time.perf_counter()
        with self._started() as process:
            due = None
            while process.poll() is None:
                now, done = time.perf_counter(), self.n_done()
                if until is not None and due is None and done >= until:
                    due = now + wait
                if due is not None and now >= due:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    break
                tenth = min(10 * done // self.n_parts, 9)
                held = sum(memory_of(one)[1] for one in family(process.pid))
                self.peaks[tenth] = max(self.peaks[tenth], held)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        self.seconds += time.perf_counter() - started
        if process.returncode not in (0, -signal.SIGKILL):
            raise SystemExit(f"{' '.join(self.command)} ended with status {process.returncode}.")

    @contextmanager
    def _started(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(  # noqa: S603
            self.command, env=self.environment, start_new_session=True, stdout=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def rows(self) -> pa.Table:
        """Return the results in the order of their names."""
        return ds.dataset(self.folder).to_table().sort_by("path")


def measure(count: int, *, kills: int, seed: int, options: list[str]) -> list[dict[str, Any]]:
    """Return a row for each of the three runs."""
    part_size = max(1, min(1000, count // 50))
    rows = []
    with tempfile.TemporaryDirectory() as name, known_to_fsspec() as package:
        path = os.pathsep.join([importing_ser()["PYTHONPATH"], package])
        environment = importing_ser() | {"PYTHONPATH": path}

        def scoring(title: str, count: int, workers: int) -> Scoring:
            given = [*options, "--workers", str(workers)]
            return Scoring(Path(name) / title, count, part_size=part_size, options=given, environment=environment)

        plans = (("one worker", count // 5, 1, 0), ("two workers", count, 2, 0), ("two, killed", count, 2, kills))
        whole = None
        for title, n, workers, n_kills in plans:
            run, rng = scoring(title, n, workers), random.Random(seed)  # noqa: S311 - no secret
            for moment in sorted(rng.uniform(0, 0.98) for _ in range(n_kills)):
                run.run(until=moment * run.n_parts, wait=rng.uniform(0, 3))
            run.run()
            table = run.rows()
            distinct = len(pc.unique(table["path"]))
            row = {"run": title, "utterances": n, "seconds": run.seconds, "rate": n / run.seconds, "kills": n_kills}
            row |= {"lost": n - distinct, "doubled": len(table) - distinct, "errors": len(table["error"].drop_null())}
            row |= {"first_mb": run.peaks[0] / 2**20, "last_mb": max(run.peaks[9:]) / 2**20}
            row["speech"] = pc.sum(pc.equal(table["status"], "speech")).as_py() / len(table)
            rows.append(row)
            print(f"{title}: {run.seconds:.0f} s", flush=True)
            assert not row["lost"] + row["doubled"] + row["errors"], row
            if workers == 2:
                whole = table if whole is None else whole
                assert table.equals(whole), "rows differ from those of the run that was not killed"
    return rows


def main() -> list[dict[str, Any]]:
    """Measure, print a table, and return its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="ser-ravdess")
    parser.add_argument("--launcher", default="processes", choices=["processes", "ray"])
    given = parser.parse_args()
    options = ["--model", given.model, "--launcher", given.launcher]
    rows = measure(given.count, kills=given.kills, seed=given.seed, options=options)
    print("| run | utterances | s | utterances/s | kills | lost | doubled | MB, first tenth | MB, last tenth |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['run']} | {row['utterances']:,} | {row['seconds']:.0f} | {row['rate']:.0f} | {row['kills']} "
            f"| {row['lost']} | {row['doubled']} | {row['first_mb']:.0f} | {row['last_mb']:.0f} |"
        )
    print(f"speech was found in {rows[1]['speech']:.0%}; by two workers {rows[1]['rate'] / rows[0]['rate']:.2f}x")
    is_flat = all(row["last_mb"] <= GROWTH_LIMIT * row["first_mb"] for row in rows[:2])
    print("held: memory is flat within 5%" if is_flat else "**not held**: memory grows")
    return rows


if __name__ == "__main__":
    main()
