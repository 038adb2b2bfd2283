"""Components by `_target_`: found, checked against their signature before any data is touched, and built by Hydra."""

import difflib
import inspect
import logging
import re
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import hydra
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from ser.errors import EXTRA_OF, SettingsError, missing_package
from ser.features.signatures import accepted, check_arguments

TARGET = "_target_"
_OF_HYDRA = (TARGET, "_partial_", "_convert_", "_recursive_")
_LIBRARIES = ("ser", "lightning", "pytorch_lightning", "torch", "torchmetrics")
"""Packages whose refusal of a value is put in one sentence; what else fails shows its own traceback."""

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # `get_object` logs what it then raises

T = TypeVar("T")


def find_target(values: Mapping[str, Any], *, where: str) -> Callable[..., Any]:
    """Return the class or function that `values` names by `_target_`.

    Raises
    ------
    SettingsError : there is no `_target_`, or nothing of that name. What else a module raises while it is imported is
        not caught: that is for its author to mend.
    """
    name = values.get(TARGET) if isinstance(values, Mapping) else None
    if not isinstance(name, str):
        raise SettingsError(
            f"{where} is {values!r}, but should be a group with a `{TARGET}`, the import path of a class, as in "
            f"{where}.{TARGET}=my_package.MyClass."
        )
    try:
        target = get_object(name)
    except Exception as error:  # Hydra's own, whatever the module raised
        cause = error.__cause__ or error
        if not (isinstance(cause, ModuleNotFoundError) or _is_of_hydra(cause)):
            raise cause from None
        raise SettingsError(f"{where}.{TARGET} is {name!r}, {_why_not_found(name, cause)}.") from error
    if not callable(target):
        raise SettingsError(f"{where}.{TARGET} is {name!r}, which is no class or function.")
    found: Callable[..., Any] = target
    return found


def _is_of_hydra(error: BaseException) -> bool:
    """Whether Hydra's own search has raised the error, and not a module that it imported."""
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    return not frames or frames[-1].filename.startswith(str(hydra.__path__[0]))


def _why_not_found(name: str, cause: BaseException) -> str:
    """Return why nothing of that name was found, with the nearest name in its module."""
    module, _, attribute = name.rpartition(".")
    if module in sys.modules:
        near = difflib.get_close_matches(attribute, dir(sys.modules[module]), n=1)
        return f"but {module} has no {attribute!r}" + (f"; did you mean {near[0]!r}" if near else "")
    reason = " ".join(str(cause).split())
    return f"which cannot be imported ({reason}): run the command in the folder of its module, or install its package"


def find_class(values: Mapping[str, Any], base: type[T], *, where: str) -> type[T]:
    """Return the class that `values` names by `_target_`, which is `base` or derived from it.

    Raises
    ------
    SettingsError : as `find_target`, or it is none.
    """
    target = find_target(values, where=where)
    if not (isinstance(target, type) and issubclass(target, base)):
        whole = f"{base.__module__}.{base.__name__}"
        raise SettingsError(f"{where}.{TARGET} is {values[TARGET]!r}, but should be a subclass of {whole}.")
    return target


def is_of_library(target: Callable[..., Any]) -> bool:
    """Whether a component is ours, PyTorch's or Lightning's, not a user's own."""
    return target.__module__.partition(".")[0] in _LIBRARIES


def arguments_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a component that are arguments, without Hydra's own."""
    return {key: value for key, value in values.items() if key not in _OF_HYDRA}


def check_component(
    values: Mapping[str, Any], *, where: str, given: Collection[str] = (), n_positional: int = 0
) -> Callable[..., Any]:
    """Check a component as far as it can be without building it, and return its target.

    Parameters
    ----------
    given : the parameters that the program fills in, where the target has them.
    n_positional : how many of the first parameters it fills in besides, whatever their names.

    Raises
    ------
    SettingsError : as `find_target` and `ser.features.signatures.check_arguments`.
    """
    target = find_target(values, where=where)
    check_arguments(target, arguments_of(values), where=where, given=given, n_positional=n_positional)
    return target


def build(
    values: Mapping[str, Any], *, where: str, given: Mapping[str, Any] | None = None, base: type | None = None
) -> Any:
    """Build a component: call its target with its settings, and with those of `given` that it has a parameter for.

    Parameters
    ----------
    base : the class that the result must be of.

    Raises
    ------
    SettingsError : a class of ours, of torch or of Lightning refuses a value, or the result is of another class. What
        another class raises is not caught.
    """
    target = find_target(values, where=where)
    try:
        made = instantiate(dict(values), _convert_="all", **accepted(target, given or {}))
    except InstantiationException as error:
        cause = error.__cause__
        if cause is None:
            raise SettingsError(f"{where} cannot be set up: {' '.join(str(error).split())}") from error
        if isinstance(cause, ModuleNotFoundError):
            raise SettingsError(_not_installed(cause, where=where)) from cause
        if is_of_library(target):
            raise SettingsError(_refusal(values, cause, where=where)) from cause
        raise cause from None
    if base is not None and not isinstance(made, base):
        whole = f"{base.__module__}.{base.__name__}"
        raise SettingsError(f"{where}.{TARGET} is {values[TARGET]!r}, which makes a {type(made).__name__}, no {whole}.")
    return made


def build_function(values: Mapping[str, Any], *, where: str, given: Mapping[str, Any] | None = None) -> Any:
    """Build something to be called later: an object of a class, or a function with its settings bound.

    Raises
    ------
    SettingsError : as `build`.
    """
    is_class = isinstance(find_target(values, where=where), type)
    return build(values if is_class else {**values, "_partial_": True}, where=where, given=given)


def _not_installed(cause: ModuleNotFoundError, *, where: str) -> str:
    """Return what is not installed, with the extra that brings it; Lightning's errors name it in their text alone."""
    words = set(re.findall(r"\w+", str(cause)))
    package = cause.name or next((name for name in EXTRA_OF if name in words), "")
    if package.partition(".")[0] in EXTRA_OF:
        return f"{missing_package(ModuleNotFoundError(name=package), where)}."
    return f"{where} needs a package that is not installed: {' '.join(str(cause).split())}"


def _refusal(values: Mapping[str, Any], cause: BaseException, *, where: str) -> str:
    """Return what a library has against the values that its message names, else against all of them."""
    message = " ".join(str(cause).split())
    words = set(re.findall(r"\w+", message.lower()))
    named = [
        f"{where}.{key} is {value!r}"
        for key, value in arguments_of(values).items()
        if key.lower() in words or (isinstance(value, str) and repr(value) in message)
    ]
    return f"{' and '.join(named)}, which is refused: {message}" if named else f"{where} is refused: {message}"
