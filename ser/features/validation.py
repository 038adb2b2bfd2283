"""Settings classes and how plain values become them: the one place where a configuration becomes typed.

The same function reads settings from Hydra's configuration, from a command line and from a checkpoint, so none of
them can hold what another refuses. Checks of one value stand in the type of its field (pydantic); checks of several
stand in `__post_init__` and raise a `SettingsError` whose message begins with the name of a key.
"""

import dataclasses
import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import to_jsonable_python

from ser.errors import SettingsError

T = TypeVar("T")

Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
PositiveNumber = Annotated[float, Field(gt=0)]
NaturalNumber = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
FractionBelowOne = Annotated[float, Field(ge=0, lt=1)]
InnerFraction = Annotated[float, Field(gt=0, lt=1)]
ListOf = Annotated[tuple[T, ...], Strict(False)]
"""A tuple that is written as a list."""

_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a group of settings",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_pattern_mismatch": "text that matches {pattern}",
}
"""What a value should be, by pydantic's type of error, where its own "Input should be ..." says it in other words."""
_UNKNOWN_KEY = ("unexpected_keyword_argument", "invalid_key")
_LONGEST_SHOWN = 200


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field, dataclasses.field))
def settings_dataclass(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass of settings that raises `SettingsError` for an unknown, missing or bad value.

    Whole numbers are taken where the field is a float, mappings where it is such a dataclass again; nothing else is
    converted, and neither NaN nor infinity is a number here.
    """
    # Strict, but mappings may stand for groups of settings, where pydantic would want instances.
    cls.__get_pydantic_core_schema__ = lambda source, handler: {**handler(source), "strict": False}  # type: ignore[attr-defined]
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, ser_json_inf_nan="constants")
    made: Any = dataclass(cls, frozen=True, kw_only=True, config=config)
    check = made.__init__

    @functools.wraps(check)
    def checked_init(self: T, **values: Any) -> None:
        try:
            check(self, **values)
        except ValidationError as error:
            raise SettingsError(_sentence(error, made, values, where=made.__name__)) from None

    made.__init__ = checked_init
    return cast(type[T], made)


def read_settings(cls: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Build the settings dataclass `cls` from a plain mapping.

    Parameters
    ----------
    values : key to value; a key with a default may be left out.
    where : the name of the group, for messages (`"features"`); empty: the keys stand for themselves.

    Raises
    ------
    SettingsError : an unknown or missing key, a value of the wrong type or out of range; one sentence that names it.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"{where or 'The configuration'} is {_shown(values)}, but should be a group of settings.")
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        raise SettingsError(_sentence(error, cls, values, where=where)) from None


def check_order(settings: Any, low: str, high: str) -> None:
    """Refuse a range whose lower end, the field `low`, is above its upper, the field `high`; for `__post_init__`."""
    least, most = getattr(settings, low), getattr(settings, high)
    if least > most:
        raise SettingsError(f"{low} is {least}, but should be at most {high}, which is {most}.")


def suggestion(value: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?`-style advice: the nearest of `known`, else all of them."""
    known = [str(name) for name in known]
    if not known:
        return "there are none here"
    near = difflib.get_close_matches(value, known, n=1)
    return f"did you mean {near[0]!r}" if near else f"known are {', '.join(known)}"


def as_plain(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as a dict of plain values (lists for tuples), fit for JSON, YAML and checkpoints."""
    return cast(dict[str, Any], to_jsonable_python(settings))


def _sentence(error: ValidationError, cls: Any, values: Mapping[str, Any], *, where: str) -> str:
    """Return what is wrong: of an unknown key, else of the first bad value."""
    errors = error.errors(include_url=False)
    unknown = [one for one in errors if one["type"] in _UNKNOWN_KEY]
    first = (unknown or errors)[0]
    key = _dotted(first["loc"], values, where=where)
    if unknown:
        *groups, name = first["loc"]
        for group in groups:
            cls = cls.__pydantic_fields__[group].annotation
        return f"{key} is not a setting; {suggestion(str(name), (field.name for field in dataclasses.fields(cls)))}."
    if first["type"] == "missing":
        return f"{key} is missing."
    if first["type"] == "value_error":  # of a `__post_init__`: `key` is its group
        return f"{key}.{first['ctx']['error']}".removeprefix(".")
    # A union has an error for each choice; those of a list's items tell more than that of the list.
    places = [_dotted(one["loc"], values, where=where) for one in errors]
    key = max((place for place in places if place.startswith(key)), key=len)
    choices = [one for place, one in zip(places, errors, strict=True) if place == key]
    value = choices[0]["input"]
    if [one["type"] for one in choices] == ["literal_error"]:
        known = re.findall(r"'([^']*)'", choices[0]["ctx"]["expected"])
        return f"{key} is {_shown(value)}; {suggestion(value if isinstance(value, str) else _shown(value), known)}."
    return f"{key} is {_shown(value)}, but should be {' or '.join(dict.fromkeys(map(_wanted, choices)))}."


def _dotted(location: tuple[int | str, ...], value: Any, *, where: str) -> str:
    """Return the dotted key at pydantic's location in `value`; the location also names the choices of unions."""
    key = where
    for step in location:
        if isinstance(value, Mapping) and step != "[key]":  # that is: the error is of the key before it
            key, value = f"{key}.{step}".removeprefix("."), value.get(step)
        elif isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value):
            key, value = f"{key}[{step}]", value[step]
    return key


def _wanted(error: Mapping[str, Any]) -> str:
    limits = {
        name: int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        for name, limit in error.get("ctx", {}).items()
    }
    template = _WANTED.get(error["type"])
    return template.format(**limits) if template else str(error["msg"]).removeprefix("Input should be ")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python writes out
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
