"""The same sweep of small trainings by the plain loop and by launchers that run jobs side by side: wall times.

    python benchmarks/launchers.py [--jobs 12] [--at-once 2] [--epochs 20] [--launchers joblib submitit_local ray]

Each side starts as a program of its own, with an empty feature cache, which its jobs share, and one thread a job. The
run fails where a table differs from that of the loop in a single character. A launcher whose package is not installed
is left out, and named.
"""

import argparse
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recordings import one_thread, seconds_of

LOOP = "basic"
LAUNCHERS = {
    LOOP: (None, ()),
    "processes": (None, ("hydra.launcher.jobs={at_once}",)),
    "joblib": ("hydra_plugins.hydra_joblib_launcher", ("hydra.launcher.n_jobs={at_once}",)),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", ("hydra.launcher.timeout_min=60",)),
    "ray": ("ray", ("hydra.launcher.jobs={at_once}",)),
}
"""Launcher -> the module that it needs, and its settings; submitit's starts all jobs at once."""
SMALL = (
    "experiment=debug", "data=synthetic", "data.synthetic.n_actors=3", "data.synthetic.n_statements=1",
    "data.synthetic.n_repetitions=1", "logger=none", "data.workers=1",
)  # fmt: skip


def is_there(launcher: str) -> bool:
    """Whether the package of a launcher is installed."""
    module = LAUNCHERS[launcher][0]
    try:
        return module is None or find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def sweep(launcher: str, folder: Path, *, jobs: int, at_once: int, epochs: int) -> str:
    """Run the sweep in `folder`, and return its table.

    Raises
    ------
    subprocess.CalledProcessError : it failed; what it printed stands above.
    """
    settings = [each.format(at_once=at_once) for each in LAUNCHERS[launcher][1]]
    seeds = ",".join(map(str, range(1, jobs + 1)))
    command = [
        *(sys.executable, "-m", "ser", "train", "-m", f"hydra/launcher={launcher}", *settings, *SMALL),
        *(f"seed={seeds}", f"trainer.max_epochs={epochs}", f"paths.cache_dir={folder}/cache"),
        *(f"paths.data_dir={folder}/data", f"hydra.sweep.dir={folder}/sweep"),
    ]
    try:
        subprocess.run(command, cwd=folder, env=one_thread(), check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        print(error.stdout)
        raise
    return (folder / "sweep" / "sweep.csv").read_text(encoding="utf-8")


def measure(launchers: list[str], *, jobs: int, at_once: int, epochs: int) -> list[dict[str, Any]]:
    """Return a row for each launcher, the loop first: seconds, and how many times as fast as the loop it was."""
    rows: list[dict[str, Any]] = []
    tables = {}
    for launcher in [LOOP, *launchers]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            seconds, tables[launcher] = seconds_of(
                lambda launcher=launcher, folder=folder: sweep(
                    launcher, folder, jobs=jobs, at_once=at_once, epochs=epochs
                )
            )
        assert tables[launcher] == tables[LOOP], f"{launcher} has another table than the loop:\n{tables[launcher]}"
        assert tables[launcher].count("\n") == jobs + 1
        ratio = rows[0]["seconds"] / seconds if rows else 1.0
        rows.append({"launcher": launcher, "jobs": jobs, "at_once": at_once, "seconds": seconds, "ratio": ratio})
    return rows


def main() -> list[dict[str, Any]]:
    """Measure, print a table, and return its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20, help="of each job")
    parser.add_argument("--launchers", nargs="*", choices=list(LAUNCHERS)[1:], default=list(LAUNCHERS)[1:])
    options = parser.parse_args()
    chosen = [launcher for launcher in options.launchers if is_there(launcher)]
    rows = measure(chosen, jobs=options.jobs, at_once=options.at_once, epochs=options.epochs)
    print(f"{options.jobs} jobs, {options.at_once} at a time; all tables are equal.\n")
    print("| launcher | seconds | times as fast as the loop |\n|---|---|---|")
    for row in rows:
        print(f"| {row['launcher']} | {row['seconds']:.1f} | {row['ratio']:.2f} |")
    missing = [launcher for launcher in options.launchers if launcher not in chosen]
    if missing:
        print(f"\nNot installed, so left out: {', '.join(missing)}.")
    return rows


if __name__ == "__main__":
    main()
