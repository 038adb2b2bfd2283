"""Run every soak and write docs/reliability.md: `make soak`.

    python soak/all.py [--output docs/reliability.md] [--quick] [--only NAME ...]

Each runs in a process of its own and prints its figures. `--quick` does hardly anything, to see that all of them work.
The page is written whatever the figures are; the exit status is 1 where one is not held. The prose is that of
soak/report.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, f"{sys.path[0]}/benchmarks")

from machine import hardware, state
from recordings import importing_ser

from ser.files import write_text_atomically
from soak.figures import HEADING, PROJECT, Figure

TEMPLATE = Path(__file__).with_name("report.md")
SOAKS = {
    "sound_files": ["--count", "200"],
    "predict_files": ["--count", "40"],
    "refusals": [],
    "killed_training": ["--count", "1"],
    "killed_preparation": ["--count", "1"],
    "shared_cache": ["--count", "1"],
    "app_load": ["--count", "24", "--visitors", "6"],
    "guards": ["--count", "2"],
}
"""Module -> its arguments in a quick run."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one soak.

    Attributes
    ----------
    figures : none where it did not come to its end.
    """

    name: str
    figures: tuple[Figure, ...]
    minutes: float

    @property
    def held(self) -> bool:
        """Whether it came to its end and all its figures are held."""
        return bool(self.figures) and all(figure.held for figure in self.figures)

    def lines(self) -> Iterator[str]:
        """Yield its lines of the table as Markdown."""
        if not self.figures:
            yield f"| {self.name} | `python soak/{self.name}.py` | comes to its end | it did not | **no** |"
        for figure in self.figures:
            yield figure.line()


def run_soak(name: str, arguments: Sequence[str]) -> Outcome:
    """Run a soak in a process of its own, which prints its figures, and return them."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        command = [sys.executable, str(TEMPLATE.with_name(f"{name}.py")), *arguments, "--json", str(output)]
        subprocess.run(command, cwd=PROJECT, env=importing_ser(), check=False)  # noqa: S603 - our own scripts
        told = json.loads(output.read_text(encoding="utf-8"))["figures"] if output.is_file() else []
    figures = tuple(Figure(**one) for one in told)
    return Outcome(name=name, figures=figures, minutes=(time.monotonic() - start) / 60)


def write_report(outcomes: Sequence[Outcome], output: Path) -> None:
    """Fill the template with the figures."""
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        machine=f"- {hardware()}\n- {state('ser', 'app', 'soak')}",
        table="\n".join([HEADING, *(line for outcome in outcomes for line in outcome.lines())]),
        durations=", ".join(f"`{outcome.name}` {outcome.minutes:.0f}" for outcome in outcomes),
    )
    write_text_atomically(output, text)


def main() -> int:
    """Run all soaks in turn and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PROJECT / "docs" / "reliability.md")
    parser.add_argument("--quick", action="store_true", help="do hardly anything: do all of them work?")
    parser.add_argument("--only", nargs="+", choices=list(SOAKS), default=list(SOAKS), help="these alone")
    options = parser.parse_args()
    outcomes = []
    for name in options.only:
        print(f"\n{name}\n", flush=True)
        outcomes.append(run_soak(name, SOAKS[name] if options.quick else []))
    write_report(outcomes, options.output)
    print(f"\nWritten: {options.output}")
    return 0 if all(outcome.held for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
