"""Run every benchmark and write docs/benchmarks.md: `make bench`.

    python benchmarks/all.py [--output docs/benchmarks.md] [--quick]

Each runs in a process of its own, on the corpus that RAVDESS_ROOT names, or else on synthetic sound. `--quick` measures
hardly anything, to see that all of them work. The prose is that of benchmarks/report.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

from machine import hardware, state
from preparation import LOWEST_SNR_DB
from recordings import PROJECT, importing_ser, profile_table

from ser.data.files import write_text_atomically

TEMPLATE = Path(__file__).with_name("report.md")
BENCHMARKS = {
    "features": ["--count", "3"],
    "augment": ["--count", "3"],
    "preparation": ["--count", "10", "--turns", "1"],
    "first_step": ["--runs", "1"],
    "training": ["--samples", "16", "--repeats", "1"],
    "runtimes": ["--runs", "1", "--repeats", "3"],
    "folder": ["--count", "12", "--runs", "1"],
    "cold_start": ["--runs", "1"],
    "alternatives": ["--count", "2"],
}
"""Module -> its arguments in a quick run."""
LIBRARIES = ("numpy", "scipy", "librosa", "numba", "soxr", "scikit-learn", "torch", "lightning", "onnxruntime")
_BOOTSTRAP = """
import importlib, json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
output, module = sys.argv[2], sys.argv[3]
del sys.argv[1:4]
Path(output).write_text(json.dumps(importlib.import_module(module).main()), encoding="utf-8")
"""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table.

    Attributes
    ----------
    benchmark : the module that measures it.
    sides : both medians, or what else belongs to the figure.
    unit : of `value`, `must` and `aim`; of "x" (a ratio) and "/s" more is better, of the others less.
    """

    title: str
    benchmark: str
    sides: str
    value: float
    unit: str
    must: float
    aim: float

    @property
    def reached(self) -> str:
        sign = 1 if self.unit in ("x", "/s") else -1
        if sign * self.value >= sign * self.aim:
            return "aim"
        return "must" if sign * self.value >= sign * self.must else "**no**"

    def line(self) -> str:
        """Return the line as Markdown."""
        value = f"{self.value:.0f}" if self.value >= 100 else f"{self.value:.3g}"
        return (
            f"| {self.title} | `python benchmarks/{self.benchmark}.py` | {self.sides} | {value}{self.unit} "
            f"| {self.must:g} / {self.aim:g}{self.unit} | {self.reached} |"
        )


def run_benchmark(name: str, arguments: Sequence[str]) -> Any:
    """Return what `main` of a benchmark returns, run in a process of its own that prints its tables as always.

    Raises
    ------
    subprocess.CalledProcessError : it failed, mostly because the two sides gave different answers.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        command = [sys.executable, "-c", _BOOTSTRAP, str(TEMPLATE.parent), str(output), name, *arguments]
        subprocess.run(command, env=importing_ser(), check=True)  # noqa: S603
        return json.loads(output.read_text(encoding="utf-8"))


def figures(results: Mapping[str, Any]) -> list[Figure]:
    """Return the lines of the table from what the benchmarks returned."""
    features, (stretch, shift) = results["features"][0], results["augment"]
    preparation, first_step = results["preparation"][0], results["first_step"][0]
    plain_loop, ours = results["training"]
    runtimes = results["runtimes"]
    started = {row["command"]: row["seconds"] for row in results["cold_start"]}

    def milliseconds(row: Mapping[str, Any]) -> str:
        return f"{row['ser_ms']:.2f} ms, librosa {row['librosa_ms']:.2f} ms"

    def figure(title: str, benchmark: str, sides: str, value: float, bounds: tuple[float, float, str]) -> Figure:
        must, aim, unit = bounds
        return Figure(title=title, benchmark=benchmark, sides=sides, value=value, unit=unit, must=must, aim=aim)

    return [
        figure(
            "187 features, many recordings, one thread",
            "features",
            f"{milliseconds(features)}; by numpy alone {features['steps']['all'][0]:.2f} ms",
            features["ratio"],
            (8, 10, "x"),
        ),
        figure("Time stretch, one thread", "augment", milliseconds(stretch), stretch["ratio"], (6, 8, "x")),
        figure("Pitch shift, one thread", "augment", milliseconds(shift), shift["ratio"], (5, 6, "x")),
        figure(
            f"Whole preparation of {preparation['recordings']} recordings and {preparation['copies']} copies, "
            "two processes",
            "preparation",
            f"{preparation['ser_s']:.1f} s, plain script {preparation['plain_s']:.1f} s",
            preparation["ratio"],
            (6, 10, "x"),
        ),
        figure(
            "Peak memory until the first training step, all processes, empty cache or full",
            "first_step",
            f"{first_step['cold_peak_mib']:.0f} MiB or {first_step['warm_peak_mib']:.0f} MiB",
            max(first_step["cold_peak_mib"], first_step["warm_peak_mib"]) / 1024,
            (2, 1, " GiB"),
        ),
        figure(
            f"Second start until the first training step, {first_step['samples']} samples",
            "first_step",
            f"imports alone {first_step['import_seconds']:.1f} s",
            first_step["seconds"],
            (6, 5, " s"),
        ),
        figure(
            "One epoch at batch 8, two threads",
            "training",
            f"{ours['samples/s']:.0f} samples/s, plain loop {plain_loop['samples/s']:.0f}",
            ours["ratio"],
            (1.15, 1.3, "x"),
        ),
        *(
            figure(
                f"Prediction of 4 s, warm, one thread, search apart, {runtime}",
                "runtimes",
                f"network alone {medians['network alone, ms']:.1f} ms, with the search for speech "
                f"{medians['prediction, ms']:.1f} ms",
                medians["search apart, ms"],
                (8.5, 7, " ms"),
            )
            for runtime, medians in runtimes.items()
        ),
        *(
            figure(
                f"Scoring a folder of {row['recordings']}, two processes, {row['runtime']}",
                "folder",
                "",
                row["recordings/s"],
                (240, 300, "/s"),
            )
            for row in results["folder"]
        ),
        figure(
            "`python train.py --help`",
            "cold_start",
            f"`python -c pass` {started['python -c pass']:.2f} s",
            started["python train.py --help"],
            (3, 1.5, " s"),
        ),
        figure(
            "Importing the predictor",
            "cold_start",
            f"with PyTorch {started['import ser.inference.torch_backend']:.2f} s",
            started["import ser.inference.predictor"],
            (3, 1.5, " s"),
        ),
        *(
            figure(
                f"A prediction of 4 s by ser-voices, one thread, speech search apart, against: {row['side']}",
                "alternatives",
                f"{row['ms']:.0f} ms, with search {row['ratio_with_search']:.1f}x",
                row["ratio"],
                (20, 20, "x"),
            )
            for row in results["alternatives"]
            if not row["side"].startswith("ser-")
        ),
    ]


def describe_machine() -> str:
    """Return where and when this was measured, as a Markdown list."""
    return "\n".join(
        [
            f"- {hardware()}; {platform.system()} {platform.release()}",
            f"- Python {platform.python_version()}; " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
            f"- {state('ser', 'benchmarks')}; " + ("RAVDESS" if os.environ.get("RAVDESS_ROOT") else "synthetic sound"),
        ]
    )


def write_report(results: Mapping[str, Any], machine: str, output: Path) -> None:
    """Fill the template with the results."""
    features, (stretch, shift), preparation = results["features"][0], results["augment"], results["preparation"][0]
    table = ["| figure | command | medians | measured | must / aim | reached |", "|---|---|---|---|---|---|"]
    errors = ["| group | largest difference |", "|---|---|"]
    errors += [
        f"| {group} | {f'{d:.1e}' if d else 'none, to the bit'} |" for group, d in features["differences"].items()
    ]
    columns = list(results["runtimes"]["PyTorch"])
    runtimes = ["| runtime | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    runtimes += [
        f"| {side} | " + " | ".join(f"{medians[column]:.3g}" for column in columns) + " |"
        for side, medians in results["runtimes"].items()
    ]
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        machine=machine,
        table="\n".join([*table, *(figure.line() for figure in figures(results))]),
        errors="\n".join(errors),
        tunings=f"{features['tuning_mismatches']} of {features['recordings']} tuning estimates differ.",
        vocoder="\n".join(
            ["| change | ser, dB | librosa, dB |", "|---|---|---|"]
            + [f"| {row['work']} | {row['ser_snr_db']:.0f} | {row['librosa_snr_db']:.0f} |" for row in (stretch, shift)]
        ),
        preparation=f"{preparation['difference']:.1e}",
        copies=(
            f"{preparation['snr_db']:.0f} dB (median), 95% of them to {preparation['low_snr_db']:.0f} dB or more; "
            f"{preparation['copies_apart']} of {preparation['copies']} agree to less than {LOWEST_SNR_DB:.0f} dB"
        ),
        runtimes="\n".join(runtimes),
        profile=profile_table(features["steps"]),
    )
    write_text_atomically(output, text)


def main() -> None:
    """Run all benchmarks in turn and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PROJECT / "docs" / "benchmarks.md")
    parser.add_argument("--quick", action="store_true", help="measure hardly anything: do all of them work?")
    options = parser.parse_args()
    results = {}
    for name, quick in BENCHMARKS.items():
        print(f"\n{name}\n", flush=True)
        results[name] = run_benchmark(name, quick if options.quick else [])
    write_report(results, describe_machine(), options.output)
    print(f"\nWritten: {options.output}")


if __name__ == "__main__":
    main()
