"""Plain mappings to settings dataclasses, checked key by key; the one place where a configuration becomes typed.

Every group of settings is a frozen dataclass that checks its own values in `__post_init__`. The same function
reads the groups from Hydra's configuration and from a checkpoint, so neither can hold what the other refuses.
"""

import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ser.errors import SettingsError

Settings = TypeVar("Settings")


def read_settings(cls: type[Settings], values: Mapping[str, Any], *, where: str) -> Settings:
    """Build the settings dataclass `cls` from a plain mapping.

    Parameters
    ----------
    cls : a dataclass whose fields are Any, bool, int, float, str, None, `Literal`, tuples and dicts of those, unions,
        or such dataclasses again.
    values : key to value; a key with a default may be left out. Integers are taken where floats are wanted,
        lists where tuples are.
    where : the name of the group, for messages (`"features"`).

    Raises
    ------
    SettingsError : an unknown or missing key, a value of the wrong type or out of range; it names the key.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"{where} is {values!r}, but should be a group of settings.")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    check_keys(values, fields, where=where)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise SettingsError(f"{where}.{name} is missing.")
    converted = {name: _convert(value, hints[name], key=f"{where}.{name}") for name, value in values.items()}
    try:
        return cls(**converted)
    except SettingsError as error:
        raise SettingsError(f"{where}.{error}") from None


def check_keys(values: Iterable[str], known: Iterable[str], *, where: str) -> None:
    """Refuse keys that are not known, with the nearest known name as the remedy.

    Raises
    ------
    SettingsError : for the first key of `values` that is not in `known`.
    """
    known = list(known)
    for key in values:
        if key not in known:
            raise SettingsError(f"{where}.{key} is not a setting; {suggestion(str(key), known)}.")


def suggestion(value: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?`-style advice: the nearest of `known`, else all of them."""
    known = [str(name) for name in known]
    near = difflib.get_close_matches(value, known, n=1)
    return f"did you mean {near[0]!r}" if near else f"known are {', '.join(known)}"


def require(condition: bool, message: str) -> None:
    """Raise `SettingsError(message)` unless `condition`; for the checks in `__post_init__`.

    `message` begins with the name of the key; `read_settings` puts the group in front of it.
    """
    if not condition:
        raise SettingsError(message)


def as_plain(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as a dict of plain values (lists for tuples), fit for JSON, YAML and checkpoints."""
    return _plain(dataclasses.asdict(settings))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _convert(value: Any, hint: Any, *, key: str) -> Any:
    """Return `value` as the type `hint`, or raise SettingsError that names `key`."""
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return read_settings(hint, value, where=key)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return _convert(value, option, key=key)
            except SettingsError:
                continue
        raise SettingsError(f"{key} is {value!r}, but should be {_describe(hint)}.")
    if origin is typing.Literal:
        if value in arguments and isinstance(value, type(arguments[arguments.index(value)])):
            return value
        raise SettingsError(f"{key} is {value!r}; {suggestion(str(value), arguments)}.")
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(item, arguments[0], key=f"{key}[{place}]") for place, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {
            _convert(name, arguments[0], key=key): _convert(item, arguments[1], key=f"{key}.{name}")
            for name, item in value.items()
        }
    # Compared, not converted: a whole number may be too large for a float; NaN compares as false.
    finite = isinstance(value, (int, float)) and abs(value) <= sys.float_info.max
    if hint is float and finite and not isinstance(value, bool):
        return float(value)
    if hint in (int, str) and isinstance(value, hint) and not isinstance(value, bool):
        return value
    if (hint is bool and isinstance(value, bool)) or (hint is type(None) and value is None):
        return value
    raise SettingsError(f"{key} is {value!r}, but should be {_describe(hint)}.")


def _describe(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(option) for option in arguments)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple:
        return f"a list of {_describe(arguments[0])} values"
    if origin is dict:
        return "a mapping"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
    return names.get(hint, str(hint))


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
