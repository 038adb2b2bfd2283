"""What a job leaves in its folder when it ends; apart from the table, so that a job's process starts without pandas."""

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ser.data.files import write_text_atomically
from ser.inference.run_folder import OUTCOME as OUTCOME


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
    return {key: value for key, value in configuration.items() if key not in ("paths", "ckpt_path")}


def is_minimised(configuration: DictConfig) -> bool:
    """Whether less of `optimized_metric` is better: as the callback `checkpoint` takes it, else only of a loss."""
    metric = str(OmegaConf.select(configuration, "optimized_metric"))
    checkpoint = OmegaConf.select(configuration, "callbacks.checkpoint") or {}
    if checkpoint.get("monitor") == metric:
        return bool(checkpoint.get("mode") == "min")
    return metric.endswith("loss")
