"""The words of a Hydra command before Hydra reads them: paths that its grammar would refuse are put in quotes."""

import os
import re
import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import HydraException

from ser.errors import SettingsError
from ser.training.launcher import quoted

_PATH_KEY = re.compile(
    r"\+*((data\.)?root|data\.manifest|checkpoint|output_dir|output_path|test_dir|ckpt_path|paths\.\w+|hydra\.(run|sweep)\.dir"
    r"|hydra\.sweeper\.storage)"
)
"""Keys whose value is always one path, or null."""
_LOOKS_LIKE_A_PATH = re.compile(r"~?[\w. -]*/")


def readable_by_hydra(words: Sequence[str]) -> list[str]:
    """Return the arguments of a Hydra command with quotes round each path that needs them in Hydra's grammar.

    Of the keys that name a path, that is each value but `null`, one in quotes and, in a sweep, a list of choices. Of
    other keys, it is a value which Hydra cannot read and which looks like a path or is the name of a file.

    Raises
    ------
    SettingsError : Hydra cannot read one of `words`; it names the word that would do.
    """
    sweeps = any(word in ("-m", "--multirun", "hydra.mode=MULTIRUN") for word in words)
    parser, readable = OverridesParser.create(), []
    for number, word in enumerate(words):
        if is_override(word):
            readable.append(_readable(word, parser, sweeps=sweeps))
        elif number and not word.startswith("-") and is_override(words[number - 1]):
            whole = shlex.quote(f"{words[number - 1]} {word}")
            raise SettingsError(f"{word!r} is no key=value; a value with a space stands in quotes: {whole}.")
        else:
            readable.append(word)
    return readable


def is_override(word: str) -> bool:
    """Whether a word of the command line is no flag and no bare word."""
    return word.startswith("~") or ("=" in word and not word.startswith("-"))


def _readable(word: str, parser: OverridesParser, *, sweeps: bool) -> str:
    key, _, value = word.partition("=")
    is_path = _PATH_KEY.fullmatch(key) is not None
    in_quotes = f"{key}={quoted(value)}"
    try:
        override = parser.parse_override(word)
    except HydraException as error:
        if is_path or _LOOKS_LIKE_A_PATH.match(value) or _exists(value):
            return in_quotes
        raise _not_understood(word, in_quotes, parser, error) from error
    return in_quotes if is_path and _is_misread(value, override.value(), sweeps=sweeps) else word


def _is_misread(typed: str, read: Any, *, sweeps: bool) -> bool:
    """Whether Hydra reads something else than the path that was typed."""
    if typed == "" or typed[0] in "\"'" or read is None:
        return False
    if isinstance(read, str):
        return read != typed and "\\" not in typed  # with Hydra's escapes, it is as it was meant
    if isinstance(read, ChoiceSweep) and read.simple_form:
        return not sweeps or _exists(typed)
    return isinstance(read, (bool, int, float, list, dict)) or _exists(typed)


def _exists(value: str) -> bool:
    return os.path.exists(value)  # noqa: PTH110 - that of Path raises for a value that is too long for a name


def _not_understood(word: str, in_quotes: str, parser: OverridesParser, error: HydraException) -> SettingsError:
    reason = str(error).splitlines()[0]
    try:
        parser.parse_override(in_quotes)
    except HydraException:  # it is the key that cannot be read
        return SettingsError(f"{word!r} is no key=value that Hydra can read ({reason}).")
    remedy = f"where the value is text, put it in quotes: {shlex.quote(in_quotes)}"
    return SettingsError(f"{word!r} cannot be read by Hydra ({reason}); {remedy}.")
