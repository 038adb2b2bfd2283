"""The Hydra launcher `hydra/launcher=processes`, and what launchers of ours share.

It lies here because Hydra takes plugins from this namespace alone.
"""

import logging
import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from ser.errors import SerError, SettingsError
from ser.training.configuration import resolve
from ser.training.launcher import Job, folder_lock, quoted, run_jobs
from ser.training.outcome import read_outcome

log = logging.getLogger(__name__)


class JobLauncher(Launcher):
    """A launcher that runs each job of a sweep as a command of its own; a finished one is not run again."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig

    @abstractmethod
    def run(self, jobs: Sequence[Job], *, folder: Path, resume: str) -> None:
        """Run the unfinished of `jobs`, as `ser.training.launcher.run_jobs`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over before it launches."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a job for each list of overrides; return their metrics, NaN of a failed one. Raises as `folder_lock`."""
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        folder = Path(self.config.hydra.sweep.dir).absolute()
        jobs = [self._job(given, number) for number, given in enumerate(job_overrides, initial_job_idx)]
        with folder_lock(folder):
            try:
                self.run(jobs, folder=folder, resume=f"the same command with hydra.sweep.dir={quoted(folder)}")
            except SettingsError:  # of the launcher: none has run
                raise
            except SerError as error:  # jobs failed; the sweep goes on, and its table lists them
                log.warning("%s", error)
        returned = [JobReturn(overrides=given, status=JobStatus.COMPLETED) for given in job_overrides]
        for one, job in zip(returned, jobs, strict=True):
            outcome = read_outcome(job.folder)
            one.return_value = math.nan if outcome.get("error") else outcome.get("value")
        return returned

    def _job(self, overrides: Sequence[str], number: int) -> Job:
        numbers = (f"hydra.job.num={number}", f"hydra.job.id='{number}'")
        config = self.hydra_context.config_loader.load_sweep_config(self.config, [*overrides, *numbers])
        HydraConfig.instance().set_config(config)  # interpolations of the folder may refer to it
        folder = Path(config.hydra.sweep.dir, str(config.hydra.sweep.subdir)).absolute()
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().set_config(config)  # and those of the run to its folder
        sources = (each for each in config.hydra.runtime.config_sources if each.provider == "command-line")
        flags = (*(f"--config-dir={each.path}" for each in sources), f"--config-name={config.hydra.job.config_name}")
        place = ("hydra.mode=RUN", f"hydra.run.dir={quoted(folder)}")
        arguments = (*flags, *config.hydra.overrides.hydra, *overrides, *numbers, *place)
        chosen = OmegaConf.masked_copy(config, [key for key in map(str, config) if key != "hydra"])
        try:
            settings = resolve(chosen, config.hydra.overrides.task)
        except (SerError, OmegaConfBaseException):  # the job itself will say what is wrong
            settings = {}
        return Job(
            folder=folder,
            module=self.task_function.__module__,
            arguments=arguments,
            configuration=settings,
            overrides=tuple(overrides),
        )


class ProcessLauncher(JobLauncher):
    """Hydra's launcher of `conf/hydra/launcher/processes.yaml`; `jobs` at a time, 0 for as many as cores."""

    def __init__(self, jobs: int = 0) -> None:
        self.jobs = jobs

    def run(self, jobs: Sequence[Job], *, folder: Path, resume: str) -> None:
        run_jobs(jobs, at_once=self.jobs, folder=folder, resume=resume)
