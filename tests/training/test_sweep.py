import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from ser.training.sweep import SweepTable, format_table
from tests.command_line import ROOT


def finish(folder, number, config, *, value, status=JobStatus.COMPLETED, **reports):
    """End a job as Hydra does, in a process that has its own callback."""
    run = folder / str(number)
    for part, overall in reports.items():
        path = run / "metrics.json" if part == "val" else run / "test" / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"overall": overall}))
    overrides = {"task": [f"data.fold={number}", "seed=1"]}
    hydra = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(run)}, "overrides": overrides}})
    done = JobReturn(hydra_cfg=hydra, status=status)
    done.return_value = value
    SweepTable().on_job_end(config, done)


def configuration(folder, metric):
    return OmegaConf.create({"optimized_metric": metric, "hydra": {"sweep": {"dir": str(folder)}}})


def test_the_jobs_of_a_sweep_are_sorted_and_averaged(tmp_path, capsys):
    config = configuration(tmp_path, "val/loss")
    finish(tmp_path, 0, config, value=1.5, val={"uar": 0.5}, test={"uar": 0.25})
    finish(tmp_path, 1, config, value=0.5, val={"uar": 0.7}, test={"uar": 0.75})
    finish(tmp_path, 2, config, value=RuntimeError("no luck"), status=JobStatus.FAILED)
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
    SweepTable().on_multirun_end(config)
    assert not (tmp_path / "sweep.csv").exists()
    for number, uar in enumerate([0.2, 0.9, 0.4, *[0.3] * 8]):
        finish(tmp_path, number, config, value=uar, val={"accuracy": uar})
    SweepTable().on_multirun_end(config)
    table = pd.read_csv(tmp_path / "sweep.csv")
    assert list(table.job) == [1, 2, *range(3, 11), 0]


def test_a_column_that_some_jobs_lack_stays_empty():
    table = pd.DataFrame([{"job": "0", "val/loss": 1.0}, {"job": "10", "val/loss": 3.0, "test/uar": 0.5}])
    assert [line.split() for line in format_table(table).splitlines()] == [
        ["job", "val/loss", "test/uar"],
        ["0", "1.0000"],
        ["10", "3.0000", "0.5000"],
        ["mean", "2.0000", "0.5000"],
    ]


COMMAND = """
from functools import partial
from pathlib import Path
from ser.cli.hydra_command import hydra_command
from ser.errors import SerError
from ser.training.configuration import plain, write_configuration

def task(configuration):
    print(configuration.model.lr)
    write_configuration(Path(configuration.paths.run_dir), plain(configuration))
    if configuration.model.lr > 1:
        raise SerError("too fast")
    return configuration.model.lr

main = partial(hydra_command, task, "train")
"""


@pytest.fixture
def sweep(tmp_path):
    """Run a command that trains nothing, over learning rates, each time in the same folder."""
    (tmp_path / "quick.py").write_text(COMMAND)
    variables = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}

    def run(rates):
        arguments = ["-m", "hydra/launcher=processes", f"model.lr={rates}", f"hydra.sweep.dir='{tmp_path}/the sweep'"]
        command = [sys.executable, "-c", "import quick, sys; sys.exit(quick.main(sys.argv[1:]))", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)

    return run


def test_a_repeated_sweep_runs_what_failed_or_has_other_settings_and_its_table_has_what_ended(sweep, tmp_path):
    folder = tmp_path / "the sweep"
    failed = sweep("0.1,7,0.2")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: 1 of 3 jobs failed (1); see output.log")
    assert f"continue with: the same command with hydra.sweep.dir='{folder}'" in failed.stderr
    assert list(pd.read_csv(folder / "sweep.csv").job) == [0, 2]
    repeated = sweep("0.1,0.3,7")
    assert "1 of 3 jobs are finished already" in repeated.stdout
    assert list(pd.read_csv(folder / "sweep.csv").job) == [0, 1]
    printed = [(folder / job / "output.log").read_text().splitlines() for job in "012"]
    assert printed == [["0.1"], ["7", "error: too fast", "0.3"], ["0.2", "7", "error: too fast"]]
