"""What a finished job leaves in its folder; apart from its writer, so that a job's process starts without pandas."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser.inference.run_folder import OUTCOME as OUTCOME


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
