"""`python train.py` until its first training step: seconds and peak memory, with an empty cache and with a full one.

    python benchmarks/first_step.py [--root FOLDER] [--runs 3]

The whole way: start, imports, settings, the corpus of 2,452 recordings and 1,961 augmented copies, scaler, network.
The program is stopped after its first optimiser step. With the empty cache, which takes as long as the preparation,
only the memory is reported, of all processes together. The run fails where a second start makes any features again, or
its first step does not end on the same weights.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from memory import peak_of
from recordings import PROJECT, corpus_in, importing_ser, seconds_of

PROGRAM = """
import hashlib, os, re, runpy, sys
from pathlib import Path
from torch.optim.optimizer import register_optimizer_step_post_hook

def stop(optimizer, args, kwargs):
    weights = b"".join(p.detach().numpy().tobytes() for group in optimizer.param_groups for p in group["params"])
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    print("weights", hashlib.sha256(weights).hexdigest(), "peak_kib", peak, flush=True)
    os._exit(0)

register_optimizer_step_post_hook(stop)
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""

IMPORTS = """
import hydra
from ser.training.quick_imports import quick_imports
with quick_imports():
    import ser.training.run
"""


def measure(root: Path | None, *, runs: int) -> list[dict[str, Any]]:
    """Return one row: the median of the seconds of a second start, and the peaks in MiB."""
    with tempfile.TemporaryDirectory() as name:
        corpus = corpus_in(root, Path(name))
        command = [sys.executable, "-c", PROGRAM, f"data.root={corpus}", f"paths.output_dir={name}"]
        cold_peak, output = peak_of(command, environment=importing_ser(), folder=PROJECT)
        expected, samples = _weights(output), sum(map(int, re.findall(r"(\d+) samples, the features", output)))
        seconds, peaks = [], []
        for _ in range(runs):
            taken, output = seconds_of(lambda: _run(command))
            seconds.append(taken)
            peaks.append(int(re.search(r"peak_kib (\d+)", output)[1]) / 1024)
            cached = sum(map(int, re.findall(r"features of (\d+) from the cache", output)))
            assert cached == samples, f"{samples - cached} of {samples} samples were made again"
            assert _weights(output) == expected, "the first step ended on other weights"
    imports, _ = seconds_of(lambda: _run([sys.executable, "-c", IMPORTS]))
    row = {
        "work": "second start until the first step",
        "samples": samples,
        "seconds": median(seconds),
        "import_seconds": imports,
    }
    return [row | {"cold_peak_mib": cold_peak, "warm_peak_mib": max(peaks)}]


def _run(command: list[str]) -> str:
    done = subprocess.run(  # noqa: S603
        command, env=importing_ser(), cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def _weights(output: str) -> str:
    return re.search(r"weights (\w+)", output)[1]


def main() -> list[dict[str, Any]]:
    """Measure, print a table, and return its row."""
    default = os.environ.get("RAVDESS_ROOT")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(default) if default else None, help="the corpus")
    parser.add_argument("--runs", type=int, default=3, help="second starts")
    options = parser.parse_args()
    rows = measure(options.root, runs=options.runs)
    print("| samples | second start, s | imports alone, s | peak memory, empty cache, MiB | full cache, MiB |")
    print("|---|---|---|---|---|")
    for row in rows:
        seconds = f"{row['seconds']:.1f} | {row['import_seconds']:.1f}"
        print(f"| {row['samples']} | {seconds} | {row['cold_peak_mib']:.0f} | {row['warm_peak_mib']:.0f} |")
    return rows


if __name__ == "__main__":
    main()
