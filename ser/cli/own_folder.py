"""A folder for each command: two that are started in one second never share one."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ser.data.files import claim_folder
from ser.errors import CheckpointError
from ser.inference.run_folder import run_of
from ser.training.launcher import quoted


class OwnFolder(Callback):
    """Hydra's callback that makes the folder of a run or of a sweep, where it is named by the time, before anyone else.

    A folder that the command names is taken unchanged; so is that of a run which `ckpt_path` resumes.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Give a run a folder of its own."""
        _claim(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Give a sweep a folder of its own, and each of its jobs the name of it."""
        folder = _claim(config, "sweep")
        if folder is not None:
            with read_write(config.hydra):
                # Hydra composes the configuration of each job anew, from these.
                config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(folder)}")
        HydraConfig.instance().set_config(config)  # for those who want to name the folder where the sweep ends early


def is_named_by_time(configuration: DictConfig, key: str) -> bool:
    """Whether a key that names a folder has the time in it, so that each command should have another."""
    return "${now:" in str(OmegaConf.to_container(configuration, resolve=False)[key])  # type: ignore[call-overload,index]


def _claim(config: DictConfig, kind: Literal["run", "sweep"]) -> Path | None:
    node = config.hydra[kind]
    if not is_named_by_time(node, "dir"):
        return None
    folder, resumed = Path(node.dir), OmegaConf.select(config, "ckpt_path")
    with suppress(CheckpointError):  # of what is no run, which the command will refuse
        if resumed is not None and run_of(Path(resumed)) == folder:
            return None  # it goes on in its own
    folder = claim_folder(folder)
    with read_write(config.hydra), open_dict(config.hydra):
        node.dir = str(folder)
    return folder
