"""A million utterances and 10,000 hours on 1, 10 and 100 machines: hours, money, and what breaks first. A simulation.

    python benchmarks/cluster.py [--machines 1 10 100] [--hours 10000] [--epochs 20] [--rates FILE] [--cores 32] ...

What one core does was measured (`Rates` in benchmarks/simulation.py; `--rates` names a JSON file with other values).
What the machines are is assumed, and each assumption is an option. The same seed gives the same tables.
"""

import argparse
import json
import math
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from simulation import (
    GB,
    HOUR,
    SECONDS_OF_UTTERANCE,
    Cluster,
    Rates,
    checkpoint_interval,
    prepare,
    score,
    step_seconds,
    train,
)

MILLION = 1_000_000
CHANGES: dict[str, dict[str, Any]] = {
    "parts of 300 utterances": {"part": 300},
    "no slow machines": {"slow": 0.0},
    "ten times the storage": {"storage_gb_s": 25.0},
    "a bucket: ten times the storage, 20 ms to open a file": {"storage_gb_s": 25.0, "open_ms": 20.0},
    "machines that live for 24 hours": {"mtbf_hours": 24.0},
    "the same, and a checkpoint each minute": {"mtbf_hours": 24.0, "checkpoint_minutes": 1.0},
    "parts of 300, no slow machines, ten times the storage": {"part": 300, "slow": 0.0, "storage_gb_s": 25.0},
}
"""What changes on the most machines -> settings."""


def plan(n: int, cluster: Cluster, rates: Rates, epochs: int, *, seed: int) -> dict[str, Any]:
    """Return the stages of a corpus of `n` utterances on a cluster, its core-hours, and its bytes in storage."""
    stages = {
        "preparation": prepare(n, cluster, rates, seed=seed),
        "scoring": score(n, cluster, rates, seed=seed),
        "training": train(n, epochs, cluster, rates, seed=seed),
    }
    listing = n / rates.listed
    seconds = listing + sum(stage.seconds for stage in stages.values())
    core_hours = seconds / HOUR * cluster.cores * cluster.machines
    stored = n * (rates.source_bytes + rates.prepared_bytes)
    return {"listing": listing, "stages": stages, "seconds": seconds, "core_hours": core_hours, "stored": stored}


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def number(value: float) -> str:
    """Return a number with two digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """Return seconds as minutes or hours."""
    return f"{number(seconds / 60)} min" if seconds < 2 * HOUR else f"{number(seconds / HOUR)} h"


def costs(plans: dict[tuple[str, int], dict[str, Any]], cluster: Cluster, epochs: int) -> str:
    """Return the table of hours, money and storage."""
    head = ["corpus", "machines", "list the files", "prepare", "score", f"train {epochs} epochs", "core-hours", "price",
            "storage, TB"]  # fmt: skip
    rows = []
    for (corpus, machines), one in plans.items():
        times = [one["listing"], *(stage.seconds for stage in one["stages"].values())]
        price = one["core_hours"] * cluster.price
        cells = [*map(duration, times), number(one["core_hours"]), number(price), number(one["stored"] / 1e12)]
        rows.append([corpus, str(machines), *cells])
    return table(head, rows)


def bottlenecks(plans: dict[tuple[str, int], dict[str, Any]]) -> str:
    """Return the table of what was busy, and of the work that was done again."""
    head = ["machines", "stage", "cores busy", "storage busy", "driver busy", "bottleneck", "deaths", "again"]
    rows = []
    for (_, machines), one in plans.items():
        for name, stage in one["stages"].items():
            busy = [f"{fraction:.0%}" for fraction in (stage.computing, stage.storage, stage.driver)]
            rows.append([str(machines), name, *busy, stage.bottleneck, str(stage.deaths), f"{stage.again:.1%}"])
    return table(head, rows)


def limits(n_largest: int, cluster: Cluster, rates: Rates, machines: list[int]) -> str:
    """Return the table of what breaks first, by formulas: where each limit lies, and what it would take."""
    most = max(machines)
    storage = cluster.storage_gb_s * GB
    moved = rates.source_bytes + rates.prepared_bytes
    of_task = cluster.part * (1 / rates.prepared + cluster.open_ms / 1000)
    undying = replace(cluster, machines=most, mtbf_hours=math.inf)
    epoch = train(n_largest, 1, undying, replace(rates, start_of_row=0.0), seed=0).seconds
    between = cluster.mtbf_hours * HOUR / most
    rate_of_rank = rates.trained * rates.prepared_bytes / rates.cores_of_rank
    slowest = {m: step_seconds(replace(cluster, machines=m, slow=0.0), rates, seed=0)[0] for m in machines}
    steps = ", ".join(f"{rates.batch / rates.trained / one:.0%} on {m}" for m, one in slowest.items())
    rows = [
        ["cores that find a part, of a million utterances", f"{MILLION / cluster.part:,.0f}", "smaller parts"],
        ["cores until the storage is full: preparation", number(storage / (moved * cluster.part / of_task)),
         "more storage servers; a bucket; features made in the training"],
        ["the same: scoring", number(storage / (rates.source_bytes * rates.scored)), "the same"],
        ["the same: training", number(storage / rate_of_rank),
         "the parts of a rank on its own disk, after the first epoch"],
        ["cores that the driver keeps busy", number(of_task / rates.task_seconds), "larger parts"],
        ["utterances whose list fits into the memory of the driver, millions",
         number(cluster.memory_gb * GB / rates.row_bytes / 1e6), "a list of parts instead of files"],
        ["listing the files of the larger corpus", duration(n_largest / rates.listed),
         "several listers, one a folder; a manifest that is kept"],
        [f"an epoch of it on {most} machines, which is what a death may cost", duration(epoch),
         "a checkpoint by time"],
        ["starting a training on it again", duration(n_largest * rates.start_of_row), "a manifest by parts"],
        [f"mean time between deaths among {most} machines", duration(between), ""],
        ["time between checkpoints that loses the least (Young)",
         duration(checkpoint_interval(between, cluster.checkpoint_seconds)), ""],
        ["of a training step, computing, where no machine is slow", steps, "what helps the storage; larger batches"],
    ]  # fmt: skip
    return table(["limit", "where", "what it would take"], rows)


def changes(n: int, cluster: Cluster, rates: Rates, epochs: int, *, seed: int) -> str:
    """Return the table of what each change brings."""
    rows = []
    for name, settings in {"as assumed": {}, **CHANGES}.items():
        stages = plan(n, replace(cluster, **settings), rates, epochs, seed=seed)["stages"]
        times = [duration(stage.seconds) for stage in stages.values()]
        again = [f"{stages[one].again:.1%}" for one in ("preparation", "training")]
        rows.append([name, *times, *again])
    head = ["change", "prepare", "score", "train", "prepared again", "trained again"]
    return table(head, rows)


def read_rates(path: Path | None) -> Rates:
    """Return the measured rates, those of a JSON file before the built-in ones.

    Raises
    ------
    ValueError : a key of the file is none of `Rates`.
    """
    given = json.loads(path.read_text(encoding="utf-8")) if path else {}
    known = {one.name for one in fields(Rates)}
    for key in given:
        if key not in known:
            raise ValueError(f"{path}: {key} is not a rate; there are {', '.join(sorted(known))}.")
    return Rates(**given)


def main() -> None:
    """Simulate, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--hours", type=int, default=10_000, help="of sound, in the larger corpus")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rates", type=Path, help="a JSON file with rates that were measured elsewhere")
    parser.add_argument("--seed", type=int, default=0)
    for name, value in asdict(Cluster()).items():
        if name != "machines":
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=type(value), default=value, help="(default: %(default)s)")
    options = vars(parser.parse_args())
    try:
        rates = read_rates(options["rates"])
    except (OSError, ValueError) as error:
        parser.error(str(error))
    cluster = Cluster(**{one.name: options[one.name] for one in fields(Cluster) if one.name != "machines"})
    epochs, seed, larger = options["epochs"], options["seed"], f"{options['hours']:,} hours"
    corpora = {"a million utterances": MILLION, larger: round(options["hours"] * HOUR / SECONDS_OF_UTTERANCE)}
    plans = {
        (corpus, machines): plan(n, replace(cluster, machines=machines), rates, epochs, seed=seed)
        for corpus, n in corpora.items()
        for machines in options["machines"]
    }
    most = max(options["machines"])
    largest = replace(cluster, machines=most)
    print(f"Measured: {asdict(rates)}\n\nAssumed: {asdict(cluster)}\n")
    print(costs(plans, cluster, epochs), end=f"\n\n{larger}:\n\n")
    print(bottlenecks({key: one for key, one in plans.items() if key[0] == larger}), end="\n\n")
    print(limits(corpora[larger], cluster, rates, options["machines"]), end="\n\n")
    print(f"{larger} on {most} machines:\n")
    print(changes(corpora[larger], largest, rates, epochs, seed=seed))


if __name__ == "__main__":
    main()
