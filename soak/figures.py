"""What each soak hands over: figures with the bound that each must hold, as a Markdown table and as JSON."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ser.data.files import write_text_atomically

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of docs/reliability.md.

    Attributes
    ----------
    figure, must, measured : what was measured, what it has to be, and what it was.
    held : whether it was.
    command : what prints this line again.
    """

    figure: str
    must: str
    measured: str
    held: bool
    command: str

    def line(self) -> str:
        """Return the line as Markdown."""
        held = "yes" if self.held else "**no**"
        return f"| {self.figure} | `{self.command}` | {self.must} | {self.measured} | {held} |"


HEADING = "| figure | command | must | measured | held |\n|---|---|---|---|---|"


def parser_of(description: str | None, *, count: int, of: str = "times") -> argparse.ArgumentParser:
    """Return a parser of what every soak takes: `--count` (how many `of` what), `--seed` and `--json`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count, help=f"how many {of} ({count:,})")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random")
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    return parser


def conclude(figures: Sequence[Figure], details: Mapping[str, Any], output: Path | None) -> int:
    """Print the figures, write them to `output` if it is given, and return the exit status: 1 where one is not held."""
    print(HEADING)
    for figure in figures:
        print(figure.line(), flush=True)
    if output is not None:
        content = {"figures": [asdict(figure) for figure in figures], "details": details}
        write_text_atomically(output, json.dumps(content, indent=2) + "\n")
    return 0 if all(figure.held for figure in figures) else 1
