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
        help_wanted = name in ("", "-h", "--help")
        message = "" if help_wanted else f"error: there is no command {name!r}\n"
        print(
            f"{message}usage: python -m ser <command> ...\n\n{listed}", file=sys.stdout if help_wanted else sys.stderr
        )
        return 0 if help_wanted else 2
    module = importlib.import_module(f"ser.cli.{name.replace('-', '_')}")
    status: int = module.main(rest)
    return status


if __name__ == "__main__":
    sys.exit(main())
