"""What a job leaves in its folder when it ends; apart from the table, so that a job's process starts without pandas."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ser.data.files import write_text_atomically
from ser.inference.run_folder import OUTCOME as OUTCOME

PRUNED = "pruned.txt"
"""In the folder of a job that `ser tune` has ended early: after which epoch, and why."""


def write_outcome(
    folder: Path,
    *,
    overrides: Sequence[str],
    metric: str | None,
    value: object = None,
    error: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write `job.json` into the folder of a job.

    Parameters
    ----------
    value : of `metric`; what is no finite number is written as null.
    error : one sentence on why the job failed; None: it is done.
    settings : `settings_of` its run.
    """
    number = float(value) if isinstance(value, Real) and math.isfinite(value) else None
    outcome = {"overrides": list(overrides), "metric": metric, "value": number, "error": error, "settings": settings}
    write_text_atomically(folder / OUTCOME, json.dumps(outcome, indent=2) + "\n")


def read_outcome(folder: Path) -> dict[str, Any]:
    """Return the content of job.json in the folder of a job; empty where there is none.

    `ser.training.sweep.SweepTable` writes it: the job's overrides, its metric with the value, and its run's settings.
    """
    path = folder / OUTCOME
    outcome: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return outcome


def settings_of(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the result of a run: its configuration without where it lies and how it was resumed."""
    placed = in_folder(configuration, "<run>")
    return {key: value for key, value in placed.items() if key not in ("paths", "ckpt_path")}


def is_finished(folder: Path, configuration: Mapping[str, Any]) -> bool:
    """Whether the job in `folder` has ended well with these settings, or with these and the test part scored as well.

    Parameters
    ----------
    configuration : of a run, resolved.
    """
    wanted = settings_of(configuration)
    return read_outcome(folder).get("settings") in (wanted, wanted | {"score_test": True})


def in_folder(configuration: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return the configuration of a run, as plain values, as if its folder were `folder`.

    Its callbacks and loggers name that folder too.
    """
    paths = configuration.get("paths")
    old = paths.get("run_dir") if isinstance(paths, Mapping) else None
    moved: dict[str, Any] = _replaced(configuration, old, folder) if isinstance(old, str) else dict(configuration)
    return moved


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(item, old, new) for item in value]
    is_inside = isinstance(value, str) and (value == old or value.startswith((f"{old}/", f"{old}{os.sep}")))
    return f"{new}{value.removeprefix(old)}" if is_inside else value


def is_minimised(configuration: DictConfig) -> bool:
    """Whether less of `optimized_metric` is better: as the callback `checkpoint` takes it, else only of a loss."""
    metric = str(OmegaConf.select(configuration, "optimized_metric"))
    checkpoint = OmegaConf.select(configuration, "callbacks.checkpoint") or {}
    if checkpoint.get("monitor") == metric:
        return bool(checkpoint.get("mode") == "min")
    return metric.endswith("loss")
