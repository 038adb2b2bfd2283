"""What the subcommands share: one sentence for what a person did wrong."""

import sys
from collections.abc import Callable
from pathlib import Path

from ser.errors import SerError

_PACKAGE = Path(__file__).parents[1]
IS_INSTALLED = (_PACKAGE / "conf").is_dir()
"""Whether this is no checkout, but what a wheel has installed."""
CONF_FOLDER = (_PACKAGE if IS_INSTALLED else _PACKAGE.parent) / "conf"
EXTRA_OF = {"streamlit": "app", "onnx": "export"} | dict.fromkeys(
    ("hydra", "lightning", "matplotlib", "omegaconf", "pandas", "scipy", "sklearn", "tabulate", "torch"), "train"
)
"""Package that a base installation lacks -> the extra that brings it, with all others that its commands need."""


def exit_status(act: Callable[[], int]) -> int:
    """Return what `act` returns; print an error that a person can mend as one sentence and return 1, 130 for Ctrl-C."""
    try:
        return act()
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_OF:
            raise
        print(
            f"error: this needs {error.name}; install it with: pip install 'ser[{EXTRA_OF[error.name]}]'",
            file=sys.stderr,
        )
        return 1
    except (SerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
