"""What every script here takes and gives: `--count`, `--seed`, `--json`; a table, a file, an exit status."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ser.files import write_text_atomically

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table: what was done, what must come of it, what came, and how to have it again."""

    figure: str
    must: str
    measured: str
    held: bool
    command: str


def parser_of(description: str | None, *, count: int, of: str) -> argparse.ArgumentParser:
    """Return a parser of `--count` (how many `of` what), `--seed` and `--json`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count, help=f"how many {of} ({count:,})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


def report(figures: Sequence[Figure], details: Mapping[str, Any], path: Path | None) -> int:
    """Print the figures as a Markdown table, write them to `path` with the details; return the exit status."""
    print("| figure | must | measured | held |\n|---|---|---|---|")
    for figure in figures:
        print(f"| {figure.figure} | {figure.must} | {figure.measured} | {'yes' if figure.held else '**no**'} |")
    if path is not None:
        content = {"figures": [asdict(figure) for figure in figures], "details": dict(details)}
        write_text_atomically(path, json.dumps(content, indent=2) + "\n")
    return 0 if all(figure.held for figure in figures) else 1
