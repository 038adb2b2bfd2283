"""What the Hydra commands share: the configuration, one sentence for an error, and the folder of a resumed run."""

import functools
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.ser_optuna import OptunaSweeper
from hydra_plugins.ser_processes import ProcessLauncher
from hydra_plugins.ser_ray import RayLauncher
from ser.cli.command import CONF_FOLDER, IS_INSTALLED, exit_status, search_here
from ser.cli.hydra_errors import refuse_unknown_options, sentence_of
from ser.cli.overrides import is_override, readable_by_hydra
from ser.data.workers import spin_briefly
from ser.errors import CheckpointError, SettingsError
from ser.inference.run_folder import OUTCOME, run_of
from ser.training.launcher import deaths_in_one_sentence, quoted
from ser.training.outcome import is_finished, read_outcome

log = logging.getLogger(__name__)

CONF = "pkg://ser.conf" if IS_INSTALLED else str(CONF_FOLDER)
"""The configurations. No package in a checkout: by an editable installation, it could be that of another one."""


def hydra_command(task: Callable[[DictConfig], Any], config_name: str, arguments: Sequence[str] | None = None) -> int:
    """Compose `conf/<config_name>.yaml` and run `task` with it, once or as a sweep; return `exit_status`.

    What `task` returns is the metric that a sweep optimises. `arguments` are the overrides; None takes those of the
    command line.
    """
    given = list(sys.argv)
    spin_briefly()
    _make_ready()
    for plugin in (ProcessLauncher, RayLauncher, OptunaSweeper):  # Hydra finds none in an editable installation
        Plugins.instance().register(plugin)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here unprinted, without a traceback

    @functools.wraps(task)  # Hydra's launchers take the module of the command from it
    def job(configuration: DictConfig) -> Any:
        sys.argv[:] = given  # Lightning starts the processes of further devices by the command that was given
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            return run_in_sweep(configuration, task)
        returned = []
        # An exit, unlike an error, is not printed by Hydra once more.
        if status := _status(lambda: returned.append(task(configuration))):
            sys.exit(status)
        return returned[0]

    def run() -> None:
        words = readable_by_hydra(sys.argv[1:] if arguments is None else arguments)
        # Overrides last: argparse refuses those that flags stand between.
        sys.argv[1:] = sorted(words, key=is_override)
        refuse_unknown_options(sys.argv[1:])
        with _deaths_in_one_sentence():
            hydra.main(version_base="1.3", config_path=CONF, config_name=config_name)(job)()

    return _status(run)


def run_in_sweep(configuration: DictConfig, task: Callable[[DictConfig], Any]) -> Any:
    """Run `task` as a job of a sweep, in whichever process its launcher has started; return what it returns.

    A job whose folder holds the outcome of the same settings is not run again. An error goes to
    `ser.training.sweep.SweepTable`, which keeps it, and the sweep goes on.
    """
    _make_ready()
    with _in_one_sentence():
        folder = Path(HydraConfig.get().runtime.output_dir)
        outcome = read_outcome(folder)
        if outcome.get("settings"):  # those of a run
            from ser.training.configuration import resolve

            if is_finished(folder, resolve(configuration, HydraConfig.get().overrides.task)):
                log.info("%s is finished already", folder)
                return outcome["value"]
        (folder / OUTCOME).unlink(missing_ok=True)  # of other settings, or of a failure
        return task(configuration)


def default_settings(of_run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the configuration of `train.py` without overrides, as plain values, in the folders of a run.

    For use in a task. None where `of_run`, the configuration of that run, names no folders. It may be a stranger's, so
    its folders are text, and nothing in them is resolved.
    """
    from ser.training.configuration import plain

    folders = of_run.get("paths")
    configuration = compose("train")
    if not isinstance(folders, Mapping) or set(folders) != set(configuration.paths):
        return None
    if any(not isinstance(folder, str) or "$" in folder for folder in folders.values()):
        return None
    configuration.paths = dict(folders)
    return plain(configuration)


def _status(act: Callable[[], object]) -> int:
    def run() -> int:
        with _in_one_sentence():
            act()
        return 0

    return exit_status(run)


@contextmanager
def _deaths_in_one_sentence() -> Iterator[None]:
    try:
        yield
    except Exception:
        if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
            raise
        resume = f"the same command with hydra.sweep.dir={quoted(HydraConfig.get().sweep.dir)}"
        with deaths_in_one_sentence(resume):
            raise


@contextmanager
def _in_one_sentence() -> Iterator[None]:
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingsError(sentence_of(error)) from error
    except ValueError as error:
        if not str(error).startswith("Only one of --"):  # Hydra's flags that exclude each other
            raise
        raise SettingsError(f"{error}.") from error


def _make_ready() -> None:
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        multiprocessing.set_start_method("spawn", force=True)  # from a worker of joblib, loky's could start no process
    search_here()
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)


def _run_folder(ckpt_path: str | None, output_dir: str, run_name: str, now: str) -> str:
    if ckpt_path is not None:
        try:
            return str(run_of(Path(ckpt_path)))
        except CheckpointError:
            log.debug("%s is no run; the command will refuse it", ckpt_path)
    return str(Path(output_dir) / run_name / now)
