"""What the subcommands share: one sentence for what a person did wrong."""

import sys
from collections.abc import Callable
from pathlib import Path

from ser.errors import SerError, missing_package

_PACKAGE = Path(__file__).parents[1]
IS_INSTALLED = (_PACKAGE / "conf").is_dir()
"""Whether this is no checkout, but what a wheel has installed."""
CONF_FOLDER = (_PACKAGE if IS_INSTALLED else _PACKAGE.parent) / "conf"


def exit_status(act: Callable[[], int]) -> int:
    """Return what `act` returns; print an error that a person can mend as one sentence and return 1, 130 for Ctrl-C."""
    try:
        return act()
    except ModuleNotFoundError as error:
        print(f"error: {missing_package(error, 'The command')}.", file=sys.stderr)
        return 1
    except (SerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
