"""How long `python train.py --help` takes, and importing the predictor, beside a Python that does nothing.

    python benchmarks/cold_start.py [--runs 7]

The programs take turns. The run fails where one prints something else than it should, or the predictor brings torch
with it.
"""

import argparse
import subprocess
import sys
from statistics import median
from typing import Any

from recordings import PROJECT, importing_ser, seconds_of

COMMANDS = {
    "python -c pass": (["-c", "pass"], ""),
    "python train.py --help": (["train.py", "--help"], "Powered by Hydra"),
    "import ser.inference.predictor": (
        ["-c", "import sys, ser.inference.predictor; print('torch' in sys.modules)"],
        "False",
    ),
    "import ser.inference.torch_backend": (
        ["-c", "import sys, ser.inference.torch_backend; print('torch' in sys.modules)"],
        "True",
    ),
}
"""What is measured -> the arguments of Python, and what must be found in the output."""


def measure(*, runs: int) -> list[dict[str, Any]]:
    """Return a row for each command: the median of its seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, (arguments, expected) in COMMANDS.items():
            taken, output = seconds_of(lambda arguments=arguments: _run(arguments))
            assert expected in output, f"{name} printed {output!r}"
            seconds[name].append(taken)
    return [{"command": name, "seconds": median(taken)} for name, taken in seconds.items()]


def _run(arguments: list[str]) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(  # noqa: S603
        command, env=importing_ser(), cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def main() -> list[dict[str, Any]]:
    """Measure, print a table, and return its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="times that each is started")
    rows = measure(runs=parser.parse_args().runs)
    print("| command | s |\n|---|---|")
    for row in rows:
        print(f"| `{row['command']}` | {row['seconds']:.2f} |")
    return rows


if __name__ == "__main__":
    main()
