"""`python -m ser <command> ...`: every command of the project; `python -m ser` lists them."""

import importlib
import sys
from collections.abc import Sequence

from ser.cli import COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status, 2 for one that does not exist."""
    name, *rest = sys.argv[1:] if arguments is None else arguments or [""]
    if name not in COMMANDS:
        listed = "\n".join(f"  {command:<16}{purpose}" for command, purpose in COMMANDS.items())
        asked = name in ("", "-h", "--help")
        told = "" if asked else f"error: there is no command {name!r}\n"
        print(f"{told}usage: python -m ser <command> ...\n\n{listed}", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    module = importlib.import_module(f"ser.cli.{name.replace('-', '_')}")
    status: int = module.main(rest)
    return status


if __name__ == "__main__":
    sys.exit(main())
