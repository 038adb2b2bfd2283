"""The configuration of a run as a file: resolved, written, read back, and found again by a resumed run."""

import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ser.data.files import write_text_atomically
from ser.errors import CheckpointError, SerError, SettingsError
from ser.features.signatures import accepted
from ser.inference.run_folder import CONFIGURATION, SPLIT, run_of
from ser.training.components import TARGET, arguments_of, find_target
from ser.training.launcher import LOCK, OUTPUT
from ser.training.outcome import in_folder
from ser.training.overrides import OVERRIDES

_MAX_BYTES, _MAX_DEPTH = 2**20, 32
"""Of a run's configuration; that of `logmel_resbilstm` has 3 kB and is 4 deep."""


def plain(configuration: DictConfig) -> dict[str, Any]:
    """Return the configuration with every interpolation resolved, as plain values."""
    values = OmegaConf.to_container(configuration, resolve=True, throw_on_missing=True)
    return cast(dict[str, Any], values)


def resolve(configuration: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of a new run as plain values, after what its overrides and its initial model change.

    `configuration` is changed too.

    Raises
    ------
    SerError : as `ser.training.initial_settings.fit_to_initial_model`.
    """
    fit_to_targets(configuration, overrides)
    if configuration.get("init_from") is not None:
        from ser.training.initial_settings import fit_to_initial_model  # which needs torch

        fit_to_initial_model(configuration, overrides)
    return plain(configuration)


def fit_to_targets(configuration: DictConfig, overrides: Sequence[str]) -> None:
    """Where an override names another `_target_`, drop the settings of the class before, which the new one lacks.

    So `model.network._target_=my_package.MyNet` is all that it takes. Settings that the overrides give stay, to be
    checked like any other. So do the groups `data` and `model`, whose keys are settings, not arguments.
    """
    given = {override.partition("=")[0].lstrip("+~") for override in overrides}
    for key in given:
        node = OmegaConf.select(configuration, key.removesuffix(f".{TARGET}")) if key.endswith(f".{TARGET}") else None
        where = key.removesuffix(f".{TARGET}")
        if isinstance(node, DictConfig) and where not in ("data", "model"):
            target = find_target({TARGET: node[TARGET]}, where=where)
            named = {one.removeprefix(f"{where}.").partition(".")[0] for one in given if one.startswith(f"{where}.")}
            arguments = [name for name in arguments_of(dict.fromkeys(node)) if name not in named]
            with open_dict(node):
                for name in set(arguments) - set(accepted(target, dict.fromkeys(arguments))):
                    del node[name]


def who_gave(error: SerError, overrides: Sequence[str], experiment: str | None) -> SerError:
    """Return the error; where its key is one that the experiment gives to another network, one that says what to do.

    Parameters
    ----------
    overrides : of the command.
    experiment : the name of the chosen one.
    """
    found = re.match(r"(model\.\S+) is not a setting", str(error))
    if found is None or experiment is None or any(found[1] in override for override in overrides):
        return error
    return SettingsError(
        f"{found[1]} is a setting of experiment={experiment}, which the chosen part of the model does not have; give "
        f"~{found[1]} too, or leave out one of the two."
    )


def resumed(configuration: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return the settings of the run that `ckpt_path` names, with the `trainer.*` overrides of this command.

    Raises
    ------
    CheckpointError : there is no such run.
    SettingsError : another setting was given beside; a resumed run that differs would be no resumed run.
    """
    run = run_of(Path(configuration.ckpt_path))
    saved = read_configuration(run)
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if key.startswith("trainer."):
            OmegaConf.update(saved, key, OmegaConf.select(configuration, key), force_add=True)
        elif key != "ckpt_path":
            raise SettingsError(f"{key} cannot be changed in a resumed run; leave it out, or start a new run.")
    # The folder may have been moved since: all that lies in it lies there now.
    moved: DictConfig = OmegaConf.create(in_folder(plain(saved), str(run)))
    OmegaConf.update(moved, "ckpt_path", str(run), force_add=True)
    OmegaConf.update(moved, "paths.run_dir", str(run), force_add=True)
    return moved


def read_configuration(run: Path) -> DictConfig:
    """Return the configuration in the folder of a run or of a cross-validation, as it was written.

    Raises
    ------
    CheckpointError : it is damaged, no mapping, or no file that `write_configuration` writes.
    """
    path = run / CONFIGURATION
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes, but should have {_MAX_BYTES:,} at most.")
        text = path.read_text(encoding="utf-8")
        saved = OmegaConf.load(path) if _is_plain(text) else None
    except (yaml.YAMLError, ValueError, RecursionError, OmegaConfBaseException, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {type(error).__name__}.") from error
    if not isinstance(saved, DictConfig):
        raise CheckpointError(f"{path} is no configuration of a run.")
    return saved


def _is_plain(text: str) -> bool:
    """Whether YAML has no aliases, a few of which fill the memory once they are copied, and no brackets without end."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _MAX_DEPTH:
            return False
    return True


def write_configuration(run_dir: Path, configuration: dict[str, Any]) -> None:
    """Write the resolved configuration into the run's folder."""
    write_text_atomically(run_dir / CONFIGURATION, OmegaConf.to_yaml(OmegaConf.create(configuration)))


def discard_unused(run_dir: Path, *, has_begun: bool = False) -> None:
    """Remove the folder of a run that was refused before it had data; that of a job of a sweep stays.

    So does what Hydra and this package have not written: the folder may be one of the user's, by hydra.run.dir.

    Parameters
    ----------
    has_begun : whether this command has written the run's configuration; else one that is there is of another run.
    """
    hydra = HydraConfig.get()
    is_job = hydra.mode is RunMode.MULTIRUN or (run_dir / OUTPUT).exists()
    if is_job or (run_dir / SPLIT).exists() or (not has_begun and (run_dir / CONFIGURATION).exists()):
        return
    for name in (CONFIGURATION, OVERRIDES, LOCK, f"{hydra.job.name}.log"):
        (run_dir / name).unlink(missing_ok=True)
    if hydra.output_subdir is not None:
        shutil.rmtree(run_dir / hydra.output_subdir, ignore_errors=True)
    with suppress(OSError):  # it is not empty, or not there
        run_dir.rmdir()
