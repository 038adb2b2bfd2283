"""`python -m ser <command> ...` is the `ser` command."""

import sys

from ser.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
