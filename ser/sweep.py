"""The table at the end of a multirun: one line a job, best first."""

import csv
import io
import json
import logging
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ser.files import write_text_atomically

log = logging.getLogger(__name__)

TABLE = "sweep.csv"


class SweepTable(Callback):
    """Hydra's callback that gathers the jobs of a sweep and writes `sweep.csv` into the sweep's folder."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Take down one finished job."""
        if job_return.status is not JobStatus.COMPLETED or job_return.hydra_cfg is None:
            return
        folder = Path(job_return.hydra_cfg.hydra.runtime.output_dir)
        metrics = folder / "metrics.json"
        if metrics.is_file():
            overall = json.loads(metrics.read_text(encoding="utf-8"))["overall"]
            overrides = " ".join(job_return.hydra_cfg.hydra.overrides.task)
            self._rows.append(
                {
                    "job": folder.name,
                    "overrides": overrides,
                    config.optimized_metric: job_return.return_value,
                    **overall,
                }
            )

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Sort, print and write the table."""
        if not self._rows:
            return
        monitored = config.optimized_metric
        rows = sorted(self._rows, key=lambda row: row[monitored], reverse=not monitored.endswith("loss"))
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        path = Path(config.hydra.sweep.dir) / TABLE
        write_text_atomically(path, text.getvalue())
        # Printed: it is the answer of the command, and Hydra's logging has ended by now.
        print(format_table(rows))
        print(f"Written to {path}")


def format_table(rows: list[dict[str, Any]]) -> str:
    """Return rows of equal keys as an aligned table."""
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
