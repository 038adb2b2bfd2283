"""Networks and feature groups of one's own, which a model was trained with, by the paths that a person types.

A command line is the user's own, so it may name code, as training does. No file may: what it names is looked up by name
among ours and these.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from ser.errors import SettingsError
from ser.features.groups import FeatureGroup
from ser.features.validation import suggestion

if TYPE_CHECKING:
    from torch import nn


class OwnParts(TypedDict):
    """The arguments of `ser.inference.predictor.Predictor.load` that hand in what a model is made of."""

    networks: "dict[str, type[nn.Module]]"
    feature_groups: dict[str, FeatureGroup]


def import_own_parts(networks: Mapping[str, str], feature_groups: Mapping[str, str]) -> OwnParts:
    """Import networks and feature groups, each a name -> the path of its class or function, "my_package.MyNet".

    Raises
    ------
    SettingsError : there is nothing of that path, or it is none. What else a module raises while it is imported is not
        caught: that is for its author to mend.
    """
    groups: dict[str, FeatureGroup] = {}
    for name, path in feature_groups.items():
        found = import_object(path, where=f"feature group {name}")
        group = found if isinstance(found, FeatureGroup) else found() if callable(found) else None
        if not isinstance(group, FeatureGroup):
            raise SettingsError(
                f"feature group {name} is {path!r}, but should be a ser.features.groups.FeatureGroup, or a function "
                "that returns one without arguments."
            )
        groups[name] = group
    return {"networks": {n: _import_network(n, path) for n, path in networks.items()}, "feature_groups": groups}


def _import_network(name: str, path: str) -> "type[nn.Module]":
    from torch import nn  # only where there is a network, which needs it

    found = import_object(path, where=f"network {name}")
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise SettingsError(f"network {name} is {path!r}, but should be a subclass of torch.nn.Module.")
    return found


def import_function(path: str, *, where: str) -> Callable[..., Any]:
    """Return the function of a path; SettingsError as `import_object`, or for what cannot be called."""
    found = import_object(path, where=where)
    if not callable(found):
        raise SettingsError(f"{where} is {path!r}, which is no function.")
    function: Callable[..., Any] = found
    return function


def import_object(path: str, *, where: str) -> Any:
    """Return what a path names, "my_package.my_module.MyNet"; errors as `import_own_parts`."""
    module, _, name = path.rpartition(".")
    if not module or not all(part.isidentifier() for part in path.split(".")):
        raise SettingsError(f"{where} is {path!r}, but should be a module and a name in it, as in my_package.MyNet.")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # what the module itself imports
        raise SettingsError(
            f"{where} is {path!r}, but there is no module {error.name!r}: give the command in its folder, or install "
            "its package."
        ) from error
    if not hasattr(loaded, name):
        known = [each for each in vars(loaded) if not each.startswith("_")]
        raise SettingsError(f"{where} is {path!r}, but {module} has no {name!r}; {suggestion(name, known)}.")
    return getattr(loaded, name)
