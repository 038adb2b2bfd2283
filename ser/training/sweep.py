"""The table at the end of a multirun: one line a job, best first."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ser.data.files import write_text_atomically

TABLE = "sweep.csv"
_LABELS = ("job", "overrides")


class SweepTable(Callback):
    """Hydra's callback that gathers the jobs of a sweep and writes `sweep.csv` into the sweep's folder."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Take down one finished job."""
        if job_return.status is JobStatus.COMPLETED and job_return.hydra_cfg is not None:
            hydra = job_return.hydra_cfg.hydra
            folder = Path(hydra.runtime.output_dir)
            labels = {"job": folder.name, "overrides": " ".join(hydra.overrides.task)}
            self._rows.append(labels | {config.optimized_metric: job_return.return_value} | _metrics_of(folder))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Sort, print and write the table."""
        if not self._rows:
            return
        monitored = config.optimized_metric
        rows = sorted(self._rows, key=lambda row: row[monitored], reverse=not monitored.endswith("loss"))
        columns = list(dict.fromkeys(column for row in rows for column in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        path = Path(config.hydra.sweep.dir) / TABLE
        write_text_atomically(path, text.getvalue())
        # Printed: it is the answer of the command, and Hydra's logging has ended by now.
        print(format_table(rows, columns))
        print(f"Written to {path}")


def format_table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Return rows as an aligned table, and under them the mean of each column of numbers: the figure of many folds."""
    numbers = {column: [row[column] for row in rows if column in row] for column in columns if column not in _LABELS}
    mean = {"job": "mean"} | {column: sum(values) / len(values) for column, values in numbers.items()}
    cells = [columns, *([_cell(row.get(column, "")) for column in columns] for row in (*rows, mean))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _metrics_of(run: Path) -> dict[str, float]:
    """Return the figures of a run's reports, `val/...` and, where there are test actors, `test/...`."""
    reports = {"val": run / "metrics.json", "test": run / "test" / "metrics.json"}
    return {
        f"{part}/{name}": value
        for part, path in reports.items()
        if path.is_file()
        for name, value in json.loads(path.read_text(encoding="utf-8"))["overall"].items()
    }


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
