"""What `python -m ser <name> key=value ...` commands share: their help, their settings, one sentence for an error."""

import argparse
import logging
import sys
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from ser.errors import SerError, SettingsError
from ser.features.validation import read_settings

S = TypeVar("S")


def key_value_command(
    act: Callable[[S], str],
    settings_class: type[S],
    *,
    module: str,
    description: str,
    keys: str,
    arguments: Sequence[str] | None,
    numbers: Collection[str] = (),
    log_level: int = logging.WARNING,
) -> int:
    """Read the settings, act, print what `act` returns; return 0, 1 where it could not be done, 130 after Ctrl-C.

    Parameters
    ----------
    act : does the work; what it imports is imported only once the settings are good.
    module : as in `python -m ser <module>`.
    keys : the help text of the arguments.
    arguments : None takes those of the command line.
    numbers : the keys whose values are whole numbers.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m ser {module}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="+", help=keys)
    given = parser.parse_args(arguments).settings
    logging.basicConfig(level=log_level, format="%(message)s")
    try:
        text = act(read_settings(settings_class, key_values(given, numbers=numbers), where=module))
    except (SerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    return 0


def key_values(arguments: Sequence[str], *, numbers: Collection[str] = ()) -> dict[str, str | int]:
    """Return `key=value` arguments as a mapping, for `read_settings`.

    Parameters
    ----------
    numbers : the keys whose values are whole numbers; all others are text.

    Raises
    ------
    SettingsError : an argument without a key, or a number that is none.
    """
    values: dict[str, str | int] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise SettingsError(f"{argument!r} is not understood; give settings as key=value.")
        if key not in numbers:
            values[key] = value
        elif value.isdecimal():
            values[key] = int(value)
        else:
            raise SettingsError(f"{key} is {value!r}, but should be a whole number.")
    return values
