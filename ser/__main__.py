"""`python -m ser <command> ...`: every command of the project; `python -m ser` lists them."""

import importlib
import sys
from collections.abc import Sequence

from ser.cli import COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status, 2 for one that does not exist."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        listed = "\n".join(f"  {command:<16}{purpose}" for command, purpose in COMMANDS.items())
        print(f"usage: python -m ser <command> ...\n\n{listed}")
        return 0
    if name not in COMMANDS:
        print(f"error: there is no command {name!r}; known are {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    module = importlib.import_module(f"ser.cli.{name.replace('-', '_')}")
    status: int = module.main(rest)
    return status


if __name__ == "__main__":
    sys.exit(main())
