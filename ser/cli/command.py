"""What the commands share: one sentence for what a person did wrong, and `key=value` arguments as settings."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar, get_type_hints

from ser.errors import SerError, SettingsError
from ser.features.validation import read_settings

S = TypeVar("S")


def exit_status(act: Callable[[], int]) -> int:
    """Return what `act` returns; print an error that a person can mend as one sentence and return 1, 130 for Ctrl-C."""
    try:
        return act()
    except (SerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def key_value_command(
    act: Callable[[S], str],
    settings_class: type[S],
    arguments: Sequence[str] | None = None,
    *,
    name: str,
    description: str | None,
    log_level: int = logging.WARNING,
) -> int:
    """Read the settings of `python -m ser <name> key=value ...`, act, print what `act` returns; return `exit_status`.

    What `act` imports is imported only once the settings are good. `arguments` are those of the command line where they
    are None, `description` is the help text of the command.
    """
    types = get_type_hints(settings_class)
    parser = argparse.ArgumentParser(
        prog=f"python -m ser {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="+", help=f"{'=, '.join(types)}=")
    given = parser.parse_args(arguments).settings
    logging.basicConfig(level=log_level, format="%(message)s")

    def run() -> int:
        values: dict[str, str | int] = {}
        for argument in given:
            key, equals, value = argument.partition("=")
            if not equals:
                raise SettingsError(f"{argument!r} is not understood; give settings as key=value.")
            values[key] = int(value) if types.get(key) is not str and value.isdecimal() else value
        print(act(read_settings(settings_class, values, where=name)).removesuffix("\n"))
        return 0

    return exit_status(run)
