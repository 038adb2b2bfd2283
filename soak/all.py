"""Run every soak and write docs/reliability.md: `make soak`.

    python soak/all.py [--output docs/reliability.md] [--quick] [--only NAME ...]

Each runs in a process of its own and prints its figures, which stay in outputs/soak/: with `--only` the page takes
those of the others from there, and says of each when and from what commit it was measured. `--quick` does hardly
anything, to see that all of them work, and keeps nothing. The page is written whatever the figures are; the exit status
is 1 where one is not held. The prose is that of soak/report.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, f"{sys.path[0]}/benchmarks")

from machine import hardware, state
from recordings import importing_ser

from ser.data.files import write_text_atomically
from soak.figures import HEADING, PROJECT, Figure

TEMPLATE = Path(__file__).with_name("report.md")
KEPT = PROJECT / "outputs" / "soak"
SOAKS = {
    "sound_files": ["--count", "200"],
    "predict_files": ["--count", "40"],
    "refusals": [],
    "killed_training": ["--count", "1"],
    "killed_preparation": ["--count", "1"],
    "shared_cache": ["--count", "1"],
    "app_load": ["--count", "24", "--seconds", "0", "--visitors", "6"],
}
"""Module -> its arguments in a quick run."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one soak.

    Attributes
    ----------
    figures : none where it did not come to its end.
    state : when and from what commit it was measured.
    """

    name: str
    figures: tuple[Figure, ...]
    minutes: float
    state: str

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
    minutes = (time.monotonic() - start) / 60
    return Outcome(name=name, figures=figures, minutes=minutes, state=state("ser", "app", "soak"))


def keep(outcome: Outcome, folder: Path) -> None:
    """Write an outcome to `folder`, for `kept`."""
    write_text_atomically(folder / f"{outcome.name}.json", json.dumps(asdict(outcome), indent=2) + "\n")


def kept(folder: Path) -> dict[str, Outcome]:
    """Return name -> outcome of those in `folder`."""
    values = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    outcomes = [Outcome(**one | {"figures": tuple(Figure(**figure) for figure in one["figures"])}) for one in values]
    return {outcome.name: outcome for outcome in outcomes}


def write_report(outcomes: Sequence[Outcome], output: Path) -> None:
    """Fill the template with the figures."""
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        machine=hardware(),
        table="\n".join([HEADING, *(line for outcome in outcomes for line in outcome.lines())]),
        runs="\n".join(f"| `{one.name}` | {one.minutes:.0f} | {one.state} |" for one in outcomes),
    )
    write_text_atomically(output, text)


def main() -> int:
    """Run all soaks in turn and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PROJECT / "docs" / "reliability.md")
    parser.add_argument("--quick", action="store_true", help="do hardly anything: do all of them work?")
    parser.add_argument("--only", nargs="+", choices=list(SOAKS), default=list(SOAKS), help="these alone")
    options = parser.parse_args()
    outcomes = {} if options.quick else kept(KEPT)
    for name in options.only:
        print(f"\n{name}\n", flush=True)
        outcomes[name] = run_soak(name, SOAKS[name] if options.quick else [])
        if not options.quick:
            keep(outcomes[name], KEPT)
    told = [outcomes[name] for name in SOAKS if name in outcomes]
    write_report(told, options.output)
    print(f"\nWritten: {options.output}")
    return 0 if all(outcome.held for outcome in told) else 1


if __name__ == "__main__":
    sys.exit(main())
