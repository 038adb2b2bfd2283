"""The table at the end of a multirun: one row for each job, best first, from the folders of the jobs."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from tabulate import tabulate

from ser.data.files import write_text_atomically
from ser.inference.run_folder import CONFIGURATION
from ser.training.configuration import plain, read_configuration
from ser.training.outcome import OUTCOME, read_outcome, settings_of

TABLE = "sweep.csv"


class SweepTable(Callback):
    """Hydra's callback that leaves the metric of each job in its folder and, after a sweep, writes `sweep.csv`."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Write `job.json` into the folder of a finished job, in whichever process it ran."""
        if job_return.status is not JobStatus.COMPLETED or job_return.hydra_cfg is None:
            return
        hydra = job_return.hydra_cfg.hydra
        folder = Path(hydra.runtime.output_dir)
        outcome = {
            "overrides": list(hydra.overrides.task),
            "metric": config.optimized_metric,
            "value": job_return.return_value,
            "settings": settings_of(plain(read_configuration(folder))) if (folder / CONFIGURATION).is_file() else None,
        }
        write_text_atomically(folder / OUTCOME, json.dumps(outcome, indent=2) + "\n")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Sort, print and write the table: the monitored metric of each finished job, and those of its reports."""
        folder, monitored = Path(config.hydra.sweep.dir), config.optimized_metric
        jobs = sorted((path.parent for path in folder.glob(f"*/{OUTCOME}")), key=lambda job: (len(job.name), job.name))
        rows = []
        for job in jobs:
            outcome = read_outcome(job)
            labels = {"job": job.name, "overrides": " ".join(outcome["overrides"])}
            rows.append(labels | {monitored: outcome["value"]} | _metrics_of(job))
        if not rows:
            return
        table = pd.DataFrame(rows).sort_values(monitored, ascending=monitored.endswith("loss"), kind="stable")
        write_text_atomically(folder / TABLE, table.to_csv(index=False, lineterminator="\n"))
        # Printed: it is the result of the command, and Hydra's logging has ended by now.
        print(format_table(table))
        print(f"Written to {folder / TABLE}")


def format_table(table: pd.DataFrame) -> str:
    """Return the table as text, with the mean of each column of numbers below, which counts where jobs are folds."""
    means = {"job": "mean", **table.mean(numeric_only=True)}
    rows = pd.concat([table, pd.DataFrame([means])]).astype(object)
    filled = rows.where(rows.notna(), "")
    return str(tabulate(filled, headers="keys", showindex=False, tablefmt="plain", floatfmt=".4f"))


def _metrics_of(run: Path) -> dict[str, float]:
    """Return the metrics in a run's reports, `val/...` and, where there are test recordings, `test/...`."""
    metrics: dict[str, float] = {}
    for part, path in (("val", run / "metrics.json"), ("test", run / "test" / "metrics.json")):
        if path.is_file():
            overall = json.loads(path.read_text(encoding="utf-8"))["overall"]
            metrics |= {f"{part}/{name}": value for name, value in overall.items()}
    return metrics
