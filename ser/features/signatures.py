"""Arguments checked against the signature of what they are for: of a network, a loss, an optimiser, a callback."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, get_type_hints

from ser.errors import SettingsError
from ser.features.validation import read_settings, settings_dataclass, suggestion


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


def check_arguments(
    target: Callable[..., Any],
    values: Mapping[str, Any],
    *,
    where: str,
    given: Collection[str] = (),
    n_positional: int = 0,
) -> dict[str, Any]:
    """Return `values` as arguments of `target`, which is not called.

    Names are checked for any target. Values are checked, by pydantic, where the target is our own: the annotations of
    other packages are not written for it.

    Parameters
    ----------
    where : the key of the group, for messages (`"model.network"`).
    given : parameters that the program fills in; a required one of these may be missing, and none may be in `values`.
    n_positional : how many of the first parameters it fills in besides, whatever their names.

    Raises
    ------
    SettingsError : an unknown or missing name, or a bad value; one sentence that names it.
    """
    parameters = _parameters(target)
    named = {name: one for name, one in parameters.items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}
    given = {*given, *list(named)[:n_positional]}
    if all(one.kind is not one.VAR_KEYWORD for one in parameters.values()):
        check_keys(values, [name for name in named if name not in given], where=where)
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in values and name not in given:
            raise SettingsError(f"{where}.{name} is missing.")
    if not target.__module__.startswith("ser."):
        return dict(values)
    checked = read_settings(_settings_of(target, named, given), values, where=where)
    return {name: getattr(checked, name) for name in values}


def accepted(target: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `values` that `target` has a parameter for, or that a class of it hands on to the one before."""
    names = set(_parameters(target))
    for base in target.__mro__ if isinstance(target, type) else ():
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            names |= set(parameters)
            if all(one.kind is not one.VAR_KEYWORD for one in parameters.values()):
                break
    return {name: value for name, value in values.items() if name in names}


def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except ValueError:  # of a class written in C
        return {"arguments": inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)}


def _settings_of(
    target: Callable[..., Any], named: Mapping[str, inspect.Parameter], given: Collection[str]
) -> type[Any]:
    """Return a settings dataclass with a field for each parameter that a configuration gives."""
    function: Any = inspect.getattr_static(target, "__init__") if isinstance(target, type) else target
    hints = get_type_hints(function, include_extras=True)
    fields = {name: one for name, one in named.items() if name not in given}
    content = {name: one.default for name, one in fields.items() if one.default is not one.empty}
    annotations = {"__annotations__": {name: hints.get(name, Any) for name in fields}}
    return settings_dataclass(type(target.__name__, (), content | annotations))
