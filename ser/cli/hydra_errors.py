"""What is wrong with an override or a flag of Hydra, in one sentence with the nearest right name."""

import re
from collections.abc import Iterable
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ser.cli.command import CONF_FOLDER
from ser.errors import SettingsError
from ser.features.validation import suggestion

_TO_ADD = re.compile(r"Could not override '(.+?)'.*To append to your config use (\+.*)$", re.DOTALL | re.MULTILINE)
_PLUGINS = {"joblib": "hydra-joblib-launcher"} | dict.fromkeys(
    ("submitit_local", "submitit_slurm"), "hydra-submitit-launcher"
)
"""Launcher -> the package that brings it."""
_TWICE = re.compile(r"Multiple values for (\S+)\. To override a value use 'override \1: (.*)'")


def refuse_unknown_options(words: Iterable[str]) -> None:
    """Refuse `--experiment=debug`, which is written `experiment=debug`, and what else is no flag of Hydra.

    Hydra would take it for the beginning of a flag of its own.

    Raises
    ------
    SettingsError : for the first such word.
    """
    known = get_args_parser()._option_string_actions
    for word in words:
        flag, is_given, _ = word.partition("=")
        if flag.startswith("--") and flag not in known:
            remedy = f"write {word.lstrip('-')}" if is_given else suggestion(flag, known)
            raise SettingsError(f"{flag} is no option of this command; {remedy}.")


def sentence_of(error: Exception) -> str:
    """Return what is wrong, with the nearest right name where there is one to choose from."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        if group == "hydra/launcher" and choice in _PLUGINS:
            return f'{group}={choice} needs {_PLUGINS[choice]}, which is not installed: pip install "ser[launchers]".'
        return f"{group} is {choice!r}; {suggestion(choice, error.options)}."
    found = _TO_ADD.match(str(error)) if isinstance(error, ConfigCompositionException) else None
    if found:
        key, to_add = found[1], found[2].strip()
        cause = error.__cause__
        if "/" in key:
            return f"{key} is no group of settings; {suggestion(key, _groups())}."
        parent = cause.parent_node if isinstance(cause, OmegaConfBaseException) else None
        if isinstance(parent, DictConfig) and isinstance(cause, OmegaConfBaseException):
            known = [str(each) for each in parent if each != "hydra"]
            if parent._get_parent() is None:
                known += [group for group in _groups() if "/" not in group]
            return f"{key} is not a setting; {suggestion(str(cause.key), known)}, or {to_add} to add it."
    if found := _TWICE.match(str(error)):
        group, choice = found[1], found[2]
        return (
            f"{group} is chosen already; write {group}={choice} without +, or in a file `override {group}: {choice}`."
        )
    # Hydra's messages name the key or group first, and go on over several lines with where it looked.
    message, _, _ = str(error).partition("Config search path")
    return " ".join(message.split())


def _groups() -> list[str]:
    folders = {path.parent.relative_to(CONF_FOLDER) for path in CONF_FOLDER.glob("*/**/*.yaml")}
    return sorted(Path(folder).as_posix() for folder in folders)
