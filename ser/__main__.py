"""`python -m ser <command> ...` is the `ser` command."""

import importlib
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None, *, module: str = "ser.cli.main") -> int:
    """Run `main` of a module, and return its exit status; Ctrl-C while it is imported ends as later.

    None takes the arguments of the command line.
    """
    try:
        run = importlib.import_module(module).main
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return int(run(arguments))


if __name__ == "__main__":
    sys.exit(main())
