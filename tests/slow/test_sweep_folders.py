"""Sweeps of small trainings: the folder of each job, the table of all, and jobs that fail or are stopped."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf

from ser.errors import SerError
from ser.training.outcome import is_minimised, read_outcome, write_outcome
from ser.training.sweep import SweepTable, format_table, sweep_table
from tests.command_line import ROOT, run_in_process


def finish(folder, name, *overrides, value=None, error=None, metric="val/loss", **reports):
    """Leave in `folder` what a job leaves, with the metrics of its reports by part."""
    write_outcome(folder / str(name), overrides=overrides, metric=metric, value=value, error=error)
    for part, overall in reports.items():
        path = folder / str(name) / ("metrics.json" if part == "val" else "test/metrics.json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"overall": overall}))


def printed(folder, metric="val/loss", *, minimised=True):
    table, swept = sweep_table(folder, metric, minimised)
    return [" ".join(line.split()) for line in format_table(table, swept).splitlines()]


def configuration(folder, metric="val/loss"):
    return OmegaConf.create({"optimized_metric": metric, "hydra": {"sweep": {"dir": str(folder)}}})


def test_the_table_leads_with_what_was_swept_and_ends_with_what_failed(tmp_path, capsys):
    finish(tmp_path, 0, "experiment=a", "+model.x=1", "seed=1", value=1.5, val={"uar": 0.5, "ece": None})
    finish(tmp_path, 1, "experiment=b", "seed=1", value=0.5, val={"uar": 0.7}, test={"uar": 0.75})
    finish(tmp_path, 2, "experiment=c", "seed=1", error="data.root is 'x', which is no folder." + 60 * " Mend it.")
    with pytest.raises(SystemExit) as caught:
        SweepTable().on_multirun_end(configuration(tmp_path))
    assert caught.value.code == 1
    lines = (tmp_path / "sweep.csv").read_text().splitlines()
    assert lines[:3] == [
        "job,experiment,model.x,val/loss,val/uar,val/ece,test/uar,status,error",
        "1,b,,0.5,0.7,,0.75,done,",
        "0,a,1,1.5,0.5,,,done,",
    ]
    assert lines[3].startswith("2,c,,,,,,failed,\"data.root is 'x', which is no folder.")
    assert lines[3].endswith('Mend it."')
    shown = capsys.readouterr()
    table = [line.split() for line in shown.out.splitlines()]
    assert table[1] == ["1", "b", "-", "0.5000", "0.7000", "-", "0.7500", "done", "-"]
    assert table[2] == ["0", "a", "1", "1.5000", "0.5000", "-", "-", "done", "-"]
    error = shown.out.splitlines()[3].partition("failed")[2].strip()
    assert (len(error), error[:4], error[-3:]) == (60, "data", "...")
    assert table[-1] == ["Written", "to", f"{tmp_path}/sweep.csv"]
    assert shown.err == f"error: 1 of 3 jobs failed (2); their errors are in {tmp_path}/sweep.csv.\n"


def test_best_comes_first_where_more_is_better_and_equals_keep_their_order(tmp_path, capsys):
    config = configuration(tmp_path, "val/uar")
    SweepTable().on_multirun_end(config)
    assert not (tmp_path / "sweep.csv").exists()
    for number, uar in enumerate([0.2, 0.9, 0.4, *[0.3] * 8]):
        finish(tmp_path, number, f"model.lr={number}", value=uar, val={"accuracy": uar, "uar": 0})
    SweepTable().on_multirun_end(config)
    table = pd.read_csv(tmp_path / "sweep.csv")
    assert list(table.job) == [1, 2, *range(3, 11), 0]
    assert list(table["val/uar"][:2]) == [0.9, 0.4], "what was optimised, not what a report has under its name"


def test_one_job_alone_has_its_overrides_in_one_column(tmp_path):
    finish(tmp_path, 0, "model.lr=1e-5", "seed=3", value=float("nan"))
    assert printed(tmp_path) == ["job overrides val/loss", "0 model.lr=1e-5 seed=3 -"]


def test_a_command_without_an_optimised_metric_has_its_table_too(tmp_path):
    for number in range(2):
        finish(tmp_path, number, f"checkpoint={number}", metric=None)
    assert printed(tmp_path, None) == ["job checkpoint", "0 0", "1 1"]


def test_only_repetitions_are_averaged(tmp_path):
    for number, rate in enumerate(["1e-5", "1e-3"]):
        finish(tmp_path, number, f"model.lr={rate}", value=number)
    assert printed(tmp_path) == ["job model.lr val/loss", "0 1e-5 0.0000", "1 1e-3 1.0000"]


def test_where_every_job_failed_there_is_a_table_without_means(tmp_path):
    for number in range(2):
        finish(tmp_path, number, f"model.lr={number}", error="no luck")
    assert printed(tmp_path)[1:] == ["0 0 - failed no luck", "1 1 - failed no luck"]


def test_folds_and_seeds_are_averaged_by_their_settings(tmp_path):
    numbers = iter(range(9))
    for rate, fold, value in [("a", 0, 1), ("a", 1, 3), ("b", 0, 5), ("b", 1, 9), ("c", 0, 7)]:
        test = {"uar": value} if (rate, fold) != ("a", 0) else {}
        overrides = [f"data.fold={fold}", "x=1", *([] if rate == "a" else [f"model={rate}"])]
        finish(tmp_path, next(numbers), *overrides, value=float(value), test=test)
    finish(tmp_path, next(numbers), "model=c", "data.fold=1", "x=1", error="no luck")
    assert printed(tmp_path)[-4:] == [
        "mean of 2 - - 2.0000 - - -",
        "std of 2 - - 1.4142 - - -",
        "mean of 2 - b 7.0000 7.0000 - -",
        "std of 2 - b 2.8284 2.8284 - -",
    ]


def test_repetitions_of_one_setting_have_one_mean(tmp_path):
    for number, seed in enumerate((1, 2, 3)):
        finish(tmp_path, number, f"seed={seed}", f"data.split_seed={seed}", value=0.1 * seed)
    assert printed(tmp_path)[-2:] == ["mean of 3 - - 0.2000", "std of 3 - - 0.1000"]


@pytest.mark.parametrize(
    ("metric", "monitor", "mode", "minimised"),
    [
        ("val/loss", "val/uar", "max", True),
        ("val/uar", "val/loss", "min", False),
        ("val/brier", "val/brier", "min", True),
        ("val/gain_loss", "val/gain_loss", "max", False),
    ],
)
def test_less_is_better_of_losses_and_of_what_the_checkpoint_minimises(metric, monitor, mode, minimised):
    checkpoint = {"monitor": monitor, "mode": mode}
    config = OmegaConf.create({"optimized_metric": metric, "callbacks": {"checkpoint": checkpoint}})
    assert is_minimised(config) is minimised
    assert is_minimised(OmegaConf.create({"optimized_metric": metric})) is metric.endswith("loss")


def end(folder, error, mode):
    """End a job by an error, as Hydra does."""
    hydra = {"runtime": {"output_dir": str(folder)}, "overrides": {"task": ["model.lr=7"]}, "mode": mode}
    job = JobReturn(hydra_cfg=OmegaConf.create({"hydra": hydra}), status=JobStatus.FAILED)
    job.return_value = error
    SweepTable().on_job_end(configuration(folder), job)
    return job


@pytest.mark.parametrize("error", [SerError("too\nfast"), ZeroDivisionError("mine")])
def test_a_failed_job_of_a_sweep_leaves_its_error_and_counts_as_done_for_hydra(error, tmp_path, caplog):
    job = end(tmp_path, error, RunMode.MULTIRUN)
    assert job.status is JobStatus.COMPLETED
    assert job.return_value != job.return_value, "NaN"
    sentence = "too fast" if isinstance(error, SerError) else "ZeroDivisionError: mine"
    assert read_outcome(tmp_path) == {
        "overrides": ["model.lr=7"], "metric": "val/loss", "value": None, "error": sentence, "settings": None,
    }  # fmt: skip
    (record,) = caplog.records
    assert record.message == f"error: {sentence}"
    assert bool(record.exc_info) == isinstance(error, ZeroDivisionError), "only one's own error has its traceback"


def test_a_failed_run_outside_a_sweep_is_still_a_failure(tmp_path, caplog):
    job = end(tmp_path, ZeroDivisionError("mine"), RunMode.RUN)
    assert job.status is JobStatus.FAILED
    assert read_outcome(tmp_path)["error"] == "ZeroDivisionError: mine"
    assert not caplog.records, "it shows itself"


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "RANK", "NODE_RANK", "SLURM_PROCID"])
def test_only_the_first_device_of_a_job_writes(variable, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, "1")
    end(tmp_path, SerError("no luck"), RunMode.RUN)
    assert read_outcome(tmp_path) == {}


COMMAND = """
import math
from functools import partial
from pathlib import Path
from ser.cli.hydra_command import hydra_command
from ser.data.workers import map_in_workers
from ser.errors import SerError
from ser.training.configuration import discard_unused, plain, write_configuration

def task(configuration):
    lr, folder = configuration.model.lr, Path(configuration.paths.run_dir)
    print(lr)
    if lr > 20:
        raise KeyboardInterrupt
    if lr > 10:
        discard_unused(folder)
        raise SerError("refused")
    write_configuration(folder, plain(configuration))
    if lr > 8:
        raise ZeroDivisionError("mine")
    if lr > 1:
        raise SerError("too fast")
    if lr < 0.2:
        assert list(map_in_workers(math.sqrt, [4.0, 9.0], workers=2, chunk=1)) == [2, 3]
    return lr

main = partial(hydra_command, task, "train")
"""


@pytest.fixture
def sweep(tmp_path):
    """Run a command that trains nothing, over learning rates, each time in the same folder."""
    (tmp_path / "quick.py").write_text(COMMAND)
    variables = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}

    def run(rates, launcher="processes"):
        arguments = ["-m", f"hydra/launcher={launcher}", f"model.lr={rates}", f"hydra.sweep.dir='{tmp_path}/the sweep'"]
        command = [sys.executable, "-c", "import quick, sys; sys.exit(quick.main(sys.argv[1:]))", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)

    return run


def test_a_repeated_sweep_runs_what_failed_or_has_other_settings_and_its_table_has_every_job(sweep, tmp_path):
    folder = tmp_path / "the sweep"
    failed = sweep("0.1,7,0.2")
    assert failed.returncode == 1
    assert failed.stderr == f"error: 1 of 3 jobs failed (1); their errors are in {folder}/sweep.csv.\n"
    assert "1 of 3 jobs failed (1); see output.log" in failed.stdout
    assert f"continue with: the same command with hydra.sweep.dir='{folder}'" in failed.stdout
    assert list(pd.read_csv(folder / "sweep.csv").job) == [0, 2, 1]
    repeated = sweep("0.1,0.3,7")
    assert "1 of 3 jobs are finished already" in repeated.stdout
    assert list(pd.read_csv(folder / "sweep.csv").job) == [0, 1, 2]
    logs = [(folder / job / "output.log").read_text().splitlines() for job in "012"]
    assert logs == [["0.1"], ["7", "error: too fast", "0.3"], ["0.2", "7", "error: too fast"]]


@pytest.mark.parametrize("launcher", ["basic", "processes", "joblib"])
def test_a_sweep_goes_on_after_jobs_that_failed_with_every_launcher(launcher, sweep, tmp_path):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done, folder = sweep("7,9,11,0.1", launcher), tmp_path / "the sweep"
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: 3 of 4 jobs failed (0, 1, 2)")
    assert (folder / "sweep.csv").read_text().splitlines() == [
        "job,model.lr,val/loss,status,error",
        "3,0.1,0.1,done,",
        "0,7,,failed,too fast",
        "1,9,,failed,ZeroDivisionError: mine",
        "2,11,,failed,refused",
    ]
    logs = [(folder / job / ("output.log" if launcher == "processes" else "quick.log")).read_text() for job in "012"]
    assert ["Traceback" in log for log in logs] == [False, True, False]
    assert ["error: too fast" in logs[0], "ZeroDivisionError: mine" in logs[1]] == [True, True]


def test_an_interrupt_ends_a_sweep_at_once(tmp_path, monkeypatch):
    (tmp_path / "interrupted_task.py").write_text(COMMAND)
    monkeypatch.syspath_prepend(tmp_path)
    import interrupted_task

    arguments = ("-m", "model.lr=0.1,21,0.2", "hydra.sweep.dir=s")
    done = run_in_process(*arguments, folder=tmp_path, main=interrupted_task.main)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert not (tmp_path / "s" / "2").exists()
