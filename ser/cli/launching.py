"""The jobs of a cross-validation by the Hydra launcher that its command names."""

import functools
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from ser.cli.hydra_command import run_in_sweep
from ser.cli.train import task
from ser.errors import SerError
from ser.training.launcher import Job, deaths_in_one_sentence, quoted, run_jobs
from ser.training.outcome import read_outcome


def run_by_launcher(jobs: Sequence[Job], /, *, at_once: int, folder: Path, resume: str) -> None:
    """Run the unfinished of `jobs`, each of which resumes a run in `folder`, as `ser.training.launcher.run_jobs` does.

    Without `hydra/launcher`, and where the cross-validation is a job of a sweep, whose launcher it is, they are
    processes on this machine.
    """
    hydra = HydraConfig.get()
    if hydra.mode is RunMode.MULTIRUN or hydra.runtime.choices["hydra/launcher"] == "basic":
        run_jobs(jobs, at_once=at_once, folder=folder, resume=resume)
        return
    launcher = _launcher(folder)
    # One of ours; no isinstance, as Hydra's search for plugins makes the classes of our modules anew.
    run = getattr(launcher, "run", None)
    if run is not None:
        run(jobs, folder=folder, resume=resume)
        return
    waiting = [job for job in jobs if not job.is_finished]
    if waiting:
        places = (f"hydra.sweep.subdir={quoted(job.folder.name)}" for job in waiting)
        with deaths_in_one_sentence(resume):
            launcher.launch([[*job.arguments, place] for job, place in zip(waiting, places, strict=True)], 0)
    failed = [job for job in waiting if not job.is_finished]
    if failed:
        error = read_outcome(failed[0].folder).get("error") or "it left no outcome"
        raise SerError(
            f"{len(failed)} of {len(waiting)} jobs failed ({', '.join(job.folder.name for job in failed)}), the first "
            f"by: {error.rstrip('.')}; continue with: {resume}"
        )


def _launcher(folder: Path) -> Launcher:
    """Return the launcher with the settings that the command gives it, for jobs of `ser train` in `folder`."""
    of_command = HydraConfig.get().overrides.hydra
    kept = [one for one in of_command if one.lstrip("+~").startswith(("hydra/launcher=", "hydra.launcher."))]
    loaded = GlobalHydra.instance().hydra
    assert loaded is not None
    config = loaded.compose_config("train", [*kept, f"hydra.sweep.dir={quoted(folder)}"], RunMode.MULTIRUN)
    context = HydraContext(config_loader=loaded.config_loader, callbacks=Callbacks(config))
    return Plugins.instance().instantiate_launcher(hydra_context=context, task_function=_job, config=config)


@functools.wraps(task)
def _job(configuration: DictConfig) -> float | None:
    value: float | None = run_in_sweep(configuration, task)
    return value
