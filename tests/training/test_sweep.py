import json
from types import SimpleNamespace

import pandas as pd
import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hydra_plugins import ser_processes
from ser.errors import SerError
from ser.training.sweep import SweepTable, format_table


def finish(folder, number, config, *, value, status=JobStatus.COMPLETED, **reports):
    """End a job as Hydra does, in a process that has its own callback."""
    run = folder / str(number)
    for part, overall in reports.items():
        path = run / "metrics.json" if part == "val" else run / "test" / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"overall": overall}))
    hydra = OmegaConf.create(
        {"hydra": {"runtime": {"output_dir": str(run)}, "overrides": {"task": [f"data.fold={number}", "seed=1"]}}}
    )
    done = JobReturn(hydra_cfg=hydra, status=status)
    done.return_value = value
    SweepTable().on_job_end(config, done)


def configuration(folder, metric):
    return OmegaConf.create({"optimized_metric": metric, "hydra": {"sweep": {"dir": str(folder)}}})


def test_the_jobs_of_a_sweep_are_sorted_and_averaged(tmp_path, capsys):
    config = configuration(tmp_path, "val/loss")
    finish(tmp_path, 0, config, value=1.5, val={"uar": 0.5}, test={"uar": 0.25})
    finish(tmp_path, 1, config, value=0.5, val={"uar": 0.7}, test={"uar": 0.75})
    SweepTable().on_multirun_end(config)
    assert (tmp_path / "sweep.csv").read_text().splitlines() == [
        "job,overrides,val/loss,val/uar,test/uar",
        "1,data.fold=1 seed=1,0.5,0.7,0.75",
        "0,data.fold=0 seed=1,1.5,0.5,0.25",
    ]
    printed = capsys.readouterr().out.splitlines()
    assert printed[3].split() == ["mean", "1.0000", "0.6000", "0.5000"]
    assert printed[-1] == f"Written to {tmp_path}/sweep.csv"


def test_best_comes_first_where_more_is_better_and_equals_keep_their_order(tmp_path):
    config = configuration(tmp_path, "val/uar")
    for number, uar in enumerate([0.2, 0.9, 0.4, *[0.3] * 8]):
        finish(tmp_path, number, config, value=uar, val={"accuracy": uar})
    SweepTable().on_multirun_end(config)
    table = pd.read_csv(tmp_path / "sweep.csv")
    assert list(table.job) == [1, 2, *range(3, 11), 0]


def test_a_failed_job_is_no_row_and_nothing_is_no_table(tmp_path):
    config = configuration(tmp_path, "val/loss")
    failed = SimpleNamespace(status=JobStatus.FAILED, hydra_cfg=None)
    SweepTable().on_job_end(config, failed)
    SweepTable().on_multirun_end(config)
    assert not (tmp_path / "sweep.csv").exists()


def test_a_sweep_with_failed_jobs_has_a_table_of_those_that_ended(tmp_path, monkeypatch):
    hydra = {
        "sweep": {"dir": str(tmp_path)},
        "job": {"config_name": "train"},
        "callbacks": {"table": {"_target_": "ser.training.sweep.SweepTable"}},
        "hydra_logging": None,
        "verbose": False,
    }
    config = OmegaConf.create({"optimized_metric": "val/loss", "hydra": hydra})

    def fail(jobs, **settings):
        finish(tmp_path, 0, config, value=1.5, val={"uar": 0.5})
        raise SerError("1 of 2 jobs failed (1)")

    monkeypatch.setattr(ser_processes, "run_jobs", fail)
    monkeypatch.setattr(ser_processes, "configure_log", lambda *settings: None)
    launcher = ser_processes.ProcessLauncher()
    launcher.setup(
        hydra_context=SimpleNamespace(callbacks=Callbacks(config)), task_function=lambda config: None, config=config
    )
    with pytest.raises(SerError, match="1 of 2 jobs failed"):
        launcher.launch([], 0)
    assert len((tmp_path / "sweep.csv").read_text().splitlines()) == 2


def test_a_column_that_some_jobs_lack_stays_empty():
    table = pd.DataFrame([{"job": "0", "val/loss": 1.0}, {"job": "10", "val/loss": 3.0, "test/uar": 0.5}])
    assert [line.split() for line in format_table(table).splitlines()] == [
        ["job", "val/loss", "test/uar"],
        ["0", "1.0000"],
        ["10", "3.0000", "0.5000"],
        ["mean", "2.0000", "0.5000"],
    ]
