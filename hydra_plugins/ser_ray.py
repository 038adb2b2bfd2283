"""The Hydra launcher `hydra/launcher=ray`: each job is a process of its own, run by a task of Ray here or elsewhere."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hydra_plugins.ser_processes import JobLauncher
from ser.data.ray_cluster import ray_started
from ser.errors import SettingsError
from ser.training.launcher import PATIENCE_SECONDS, POLL_SECONDS, Job, JobProcess, Running, run_jobs

_KILLED = -int(getattr(signal, "SIGKILL", 9))


class RayLauncher(JobLauncher):
    """Hydra's launcher of `conf/hydra/launcher/ray.yaml`, where its parameters are explained."""

    def __init__(
        self,
        address: str | None = None,
        jobs: int = 0,
        cpus: float = 1,
        gpus: float = 0,
        resources: Mapping[str, float] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> None:
        self.address, self.jobs, self.cpus, self.gpus = address, jobs, cpus, gpus
        self.resources, self.runtime_env = resources, runtime_env

    def run(self, jobs: Sequence[Job], *, folder: Path, resume: str) -> None:
        """Run the unfinished of `jobs`, as `run_jobs`, each as a task of Ray.

        Raises
        ------
        SettingsError : Ray is not installed, does not start or is not reached, or has no room for a job.
        SerError : as `run_jobs`.
        """
        plain = {name: _plain(getattr(self, name)) for name in ("resources", "runtime_env")}
        with ray_started(
            self.address, what="hydra/launcher=ray", key="hydra.launcher.address", runtime_env=plain["runtime_env"]
        ) as ray:
            needed = {"CPU": self.cpus, "GPU": self.gpus, **(plain["resources"] or {})}
            there = ray.cluster_resources()
            room = min(int(there.get(name, 0) / amount) for name, amount in needed.items() if amount)
            if not room:
                raise SettingsError(
                    f"A job needs {needed}, more than the cluster of Ray has; give less by hydra.launcher.cpus, "
                    "hydra.launcher.gpus and hydra.launcher.resources."
                )
            needs = {"num_cpus": self.cpus, "num_gpus": self.gpus, "resources": plain["resources"]}
            run = ray.remote(max_retries=0, **needs)(_run_here)  # run_jobs tries a killed job once more
            here = str(Path.cwd())
            run_jobs(
                jobs, at_once=self.jobs or room, folder=folder, resume=resume,
                start=lambda job: _Task(run.remote(job, here)),
            )  # fmt: skip


class _Task:
    """A job that Ray runs."""

    def __init__(self, reference: Any) -> None:
        self.reference = reference

    def status(self) -> int | None:
        import ray

        if not ray.wait([self.reference], timeout=0)[0]:
            return None
        try:
            return int(ray.get(self.reference))
        except (ray.exceptions.RayError, ray.exceptions.RayTaskError):  # its process or its machine is gone
            return _KILLED

    def terminate(self) -> None:
        import ray

        ray.cancel(self.reference)

    def end(self, patience: float) -> None:
        import ray

        if not ray.wait([self.reference], timeout=patience)[0]:
            ray.cancel(self.reference, force=True)


def _run_here(job: Job, folder: str) -> int:
    """Run a job on a machine of Ray, in the folder of the command; return its exit status."""
    os.chdir(folder)
    job.folder.mkdir(parents=True, exist_ok=True)
    process: Running = JobProcess.start(job)
    try:
        while process.status() is None:
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:  # by ray.cancel
        process.terminate()
        process.end(PATIENCE_SECONDS)
        raise
    process.end(0)
    return process.status() or 0


def _plain(values: Mapping[str, Any] | None) -> Any:
    return OmegaConf.to_container(values, resolve=True) if OmegaConf.is_config(values) else values
