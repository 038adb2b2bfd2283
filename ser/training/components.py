"""Components by `_target_`: found, checked against their signature before any data is touched, and built by Hydra."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from ser.errors import SettingsError
from ser.features.signatures import accepted, check_arguments

TARGET = "_target_"
_OF_HYDRA = (TARGET, "_partial_", "_convert_", "_recursive_")
_LIBRARIES = ("ser", "lightning", "pytorch_lightning", "torch", "torchmetrics")
"""Packages whose refusal of a value is put in one sentence; what else fails shows its own traceback."""


def find_target(values: Mapping[str, Any], *, where: str) -> Callable[..., Any]:
    """Return the class or function that `values` names by `_target_`.

    Raises
    ------
    SettingsError : there is no `_target_`, or nothing of that name can be imported.
    """
    name = values.get(TARGET) if isinstance(values, Mapping) else None
    if not isinstance(name, str):
        raise SettingsError(
            f"{where} is {values!r}, but should be a group with a `{TARGET}`, the import path of a class, as in "
            f"{where}.{TARGET}=my_package.MyClass."
        )
    try:
        target = get_object(name)
    except Exception as error:  # whatever the module raises on import
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())
        raise SettingsError(f"{where}.{TARGET} is {name!r}, which cannot be imported: {reason}") from error
    if not callable(target):
        raise SettingsError(f"{where}.{TARGET} is {name!r}, which is no class or function.")
    found: Callable[..., Any] = target
    return found


def arguments_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a component that are arguments, without Hydra's own."""
    return {key: value for key, value in values.items() if key not in _OF_HYDRA}


def check_component(values: Mapping[str, Any], *, where: str, given: Collection[str] = ()) -> Callable[..., Any]:
    """Check a component as far as it can be without building it, and return its target.

    Parameters
    ----------
    given : the parameters that the program fills in, where the target has them.

    Raises
    ------
    SettingsError : as `find_target` and `ser.features.signatures.check_arguments`.
    """
    target = find_target(values, where=where)
    check_arguments(target, arguments_of(values), where=where, given=given)
    return target


def build(values: Mapping[str, Any], *, where: str, given: Mapping[str, Any] | None = None) -> Any:
    """Build a component: call its target with its settings, and with those of `given` that it has a parameter for.

    Raises
    ------
    SettingsError : a class of ours, of torch or of Lightning refuses a value. What another class raises is not caught.
    """
    target = find_target(values, where=where)
    try:
        return instantiate(dict(values), _convert_="all", **accepted(target, given or {}))
    except InstantiationException as error:
        cause = error.__cause__
        if cause is None:
            raise SettingsError(f"{where} cannot be set up: {' '.join(str(error).split())}") from error
        if isinstance(cause, ModuleNotFoundError):
            raise SettingsError(f"{where} needs a package that is not installed: {cause}") from cause
        if target.__module__.partition(".")[0] in _LIBRARIES:
            raise SettingsError(f"{where} cannot be set up so: {' '.join(str(cause).split())}") from cause
        raise cause from None
