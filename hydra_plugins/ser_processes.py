"""The Hydra launcher `hydra/launcher=processes`. It lies here because Hydra takes plugins from this namespace alone."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from ser.errors import SerError
from ser.training.launcher import Job, folder_lock, quoted, run_jobs

_OF_THE_SWEEP = ("hydra.mode", "hydra.run.dir", "hydra.sweep", "hydra/sweep", "hydra.launcher", "hydra/launcher")


class ProcessLauncher(Launcher):
    """Hydra's launcher of `conf/hydra/launcher/processes.yaml`; `jobs` at a time, 0 for as many as cores."""

    def __init__(self, jobs: int = 0) -> None:
        self.jobs = jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over before it launches."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a job for each list of overrides and return their metrics; SerError as `folder_lock` and `run_jobs`."""
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        folder, name = Path(self.config.hydra.sweep.dir).absolute(), self.config.hydra.job.config_name
        jobs = [self._job(list(given), number) for number, given in enumerate(job_overrides, initial_job_idx)]
        with folder_lock(folder):
            try:
                resume = f"python {name}.py ckpt_path=<folder of a job>"
                run_jobs(jobs, at_once=self.jobs, folder=folder, resume=resume)
            except SerError:  # Hydra itself ends no multirun that failed: the table is written of the jobs that ended
                self.hydra_context.callbacks.on_multirun_end(config=self.config, config_name=name)
                raise
        returned = [JobReturn(overrides=given, status=JobStatus.COMPLETED) for given in job_overrides]
        for one, job in zip(returned, jobs, strict=True):
            one.return_value = job.outcome().get("value")
        return returned

    def _job(self, overrides: list[str], number: int) -> Job:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.num, config.hydra.job.id = number, str(number)
        HydraConfig.instance().set_config(config)  # interpolations of the folder may refer to it
        folder = Path(config.hydra.sweep.dir, str(config.hydra.sweep.subdir)).absolute()
        sources = [each.path for each in config.hydra.runtime.config_sources if each.provider == "command-line"]
        of_hydra = [
            each for each in self.config.hydra.overrides.hydra if not each.lstrip("+~").startswith(_OF_THE_SWEEP)
        ]
        here = [
            "hydra.mode=RUN",
            f"hydra.run.dir={quoted(folder)}",
            f"hydra.job.num={number}",
            f"hydra.job.id='{number}'",
        ]
        flags = [*(f"--config-dir={path}" for path in sources), f"--config-name={config.hydra.job.config_name}"]
        arguments = (*flags, *of_hydra, *overrides, *here)
        return Job(folder=folder, module=self.task_function.__module__, arguments=arguments)
