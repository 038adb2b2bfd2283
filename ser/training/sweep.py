"""The table at the end of a multirun: a row for each job, best first, from the folders of the jobs."""

import json
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from tabulate import tabulate

from ser.data.files import write_text_atomically
from ser.data.processes import is_first_process
from ser.errors import SerError
from ser.inference.run_folder import CONFIGURATION
from ser.training.configuration import plain, read_configuration
from ser.training.outcome import OUTCOME, PRUNED, is_minimised, read_outcome, settings_of, write_outcome

log = logging.getLogger(__name__)

TABLE = "sweep.csv"
_ERROR_WIDTH = 60
"""Characters of an error in the printed table; `sweep.csv` has it whole."""
REPETITION_KEYS = ("seed", "data.fold", "data.split_seed")
"""Jobs that differ in these alone are repetitions of one another."""


class SweepTable(Callback):
    """Hydra's callback that leaves `job.json` in the folder of each job and, after a sweep, writes `sweep.csv`."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Write `job.json` into the folder of a job, in whichever process it ran.

        A job of a sweep that failed is handed to Hydra as done, with NaN for its metric: Hydra's sweepers end at the
        first failure. Its error is in `job.json` and, with the traceback of an error that is not ours, in the log.
        """
        if job_return.hydra_cfg is None or not is_first_process():
            return
        hydra = job_return.hydra_cfg.hydra
        folder = Path(hydra.runtime.output_dir)
        outcome = {"overrides": hydra.overrides.task, "metric": OmegaConf.select(config, "optimized_metric")}
        if job_return.status is JobStatus.COMPLETED:
            settings = None
            if (folder / CONFIGURATION).is_file():  # of a run; a resumed one has a metric of its own
                saved = plain(read_configuration(folder))
                settings, outcome["metric"] = settings_of(saved), saved.get("optimized_metric", outcome["metric"])
            write_outcome(folder, **outcome, value=job_return.return_value, settings=settings)
            return
        error = job_return._return_value  # by its public name, Hydra raises it
        is_for_people = isinstance(error, SerError | OSError)
        sentence = " ".join((str(error) if is_for_people else f"{type(error).__name__}: {error}").split())
        write_outcome(folder, **outcome, error=sentence)
        if hydra.mode is RunMode.MULTIRUN:
            log.error("error: %s", sentence, exc_info=None if is_for_people else error)
            job_return.status, job_return.return_value = JobStatus.COMPLETED, math.nan

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Sort, print and write the table of all jobs in the folder of the sweep.

        Raises
        ------
        SystemExit : a job failed; the status is 1.
        """
        folder = Path(config.hydra.sweep.dir)
        table, swept = sweep_table(folder, OmegaConf.select(config, "optimized_metric"), is_minimised(config))
        if table.empty:
            return
        write_text_atomically(folder / TABLE, table.to_csv(index=False, lineterminator="\n"))
        # Printed: it is the result of the command, and Hydra's logging has ended by now.
        print(format_table(table, swept))
        print(f"Written to {folder / TABLE}")
        failed = list(table.job[table.status == "failed"])
        if failed:
            listed = f"{len(failed)} of {len(table)} jobs failed ({', '.join(failed)})"
            print(f"error: {listed}; their errors are in {folder / TABLE}.", file=sys.stderr)
            sys.exit(1)  # no other error gets through: Hydra turns those of callbacks into warnings


def sweep_table(folder: Path, metric: str | None, minimised: bool) -> tuple[pd.DataFrame, list[str]]:
    """Return a row for each job in the folder of a sweep, best first, and the columns that hold what was swept.

    The columns are `job`, what was swept, the optimised metric, the metrics of the reports, `status` and `error`. What
    was swept is the override keys whose values differ, as text; of one job alone it is `overrides`, all in one column.
    The status is "done", "pruned" (ended early by `ser tune`, and ranked below all that were not) or "failed".
    """
    jobs = sorted((path.parent for path in folder.glob(f"*/{OUTCOME}")), key=lambda job: (len(job.name), job.name))
    outcomes = [read_outcome(job) for job in jobs]
    overrides = [dict(map(_key_and_value, outcome["overrides"])) for outcome in outcomes]
    keys = dict.fromkeys(key for each in overrides for key in each)
    swept = [key for key in keys if len({each.get(key) for each in overrides}) > 1]
    if len(jobs) == 1:
        swept, overrides = ["overrides"], [{"overrides": " ".join(outcomes[0]["overrides"])}]
    rows = []
    for job, outcome, given in zip(jobs, outcomes, overrides, strict=True):
        optimised = {} if metric is None else {metric: outcome["value"]}
        status = "failed" if outcome["error"] else "pruned" if (job / PRUNED).is_file() else "done"
        reported = {} if outcome["error"] else _metrics_of(job)
        labels = {"job": job.name, **{key: given.get(key) for key in swept}}
        rows.append({**labels, **optimised, **reported, **optimised, "status": status, "error": outcome["error"]})
    if not rows:
        return pd.DataFrame(), []
    table = pd.DataFrame(rows)
    table = table[[*(name for name in table if name not in ("status", "error")), "status", "error"]]
    table["order"] = table.status.map(["done", "pruned", "failed"].index)
    order = ["order"] if metric is None else ["order", metric]
    table = table.sort_values(order, ascending=[True, minimised][: len(order)], kind="stable")
    return table.drop(columns="order"), swept


def format_table(table: pd.DataFrame, swept: Sequence[str]) -> str:
    """Return the table of `sweep_table` as text, with the mean and the standard deviation of repetitions below it.

    Jobs are repetitions where what was swept differs in `REPETITION_KEYS` alone; each group of them has its two rows,
    in which the standard deviation is that of a sample (n - 1). `status` and `error` are left out where no job failed.
    What is missing or not a number is "-".
    """
    metrics = [name for name in table if name not in ("job", *swept, "status", "error")]
    settings, done = [key for key in swept if key not in REPETITION_KEYS], table[table.status == "done"]
    keys = [tuple(row) for row in done[settings].astype(object).fillna("").to_numpy()]
    rows = table.to_dict("records")
    for group in (done[[key == one for key in keys]] for one in dict.fromkeys(keys)):
        if len(group) > 1:
            labels, values = {key: group[key].iloc[0] for key in settings}, group[metrics].astype(float)
            rows.append({"job": f"mean of {len(group)}", **labels, **values.mean(skipna=False)})
            rows.append({"job": f"std of {len(group)}", **labels, **values.std(skipna=False)})
    shown = [name for name in table if name not in ("status", "error") or len(done) < len(table)]
    cells = [[_cell(row.get(name), name) for name in shown] for row in rows]
    align = ["right" if name in metrics else "left" for name in shown]
    return str(tabulate(cells, headers=shown, tablefmt="plain", disable_numparse=True, colalign=align))


def _cell(value: object, name: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return f"{text[: _ERROR_WIDTH - 3]}..." if name == "error" and len(text) > _ERROR_WIDTH else text


def _key_and_value(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+"), value


def _metrics_of(run: Path) -> dict[str, float | None]:
    """Return the metrics in a run's reports, `val/...` and, where there are test recordings, `test/...`."""
    metrics: dict[str, float | None] = {}
    for part, path in (("val", run / "metrics.json"), ("test", run / "test" / "metrics.json")):
        if path.is_file():
            overall = json.loads(path.read_text(encoding="utf-8"))["overall"]
            metrics |= {f"{part}/{name}": value for name, value in overall.items()}
    return metrics
