import json
from types import SimpleNamespace

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from ser.training.sweep import SweepTable, format_table


def job(folder, number, *, loss, status=JobStatus.COMPLETED, **reports):
    run = folder / str(number)
    for part, overall in reports.items():
        path = run / "metrics.json" if part == "val" else run / "test" / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"overall": overall}))
    hydra = OmegaConf.create(
        {"hydra": {"runtime": {"output_dir": str(run)}, "overrides": {"task": [f"data.fold={number}"]}}}
    )
    done = JobReturn(hydra_cfg=hydra, status=status)
    done.return_value = loss
    return done


def test_the_jobs_of_a_sweep_are_sorted_and_averaged(tmp_path, capsys):
    config = OmegaConf.create({"optimized_metric": "val/loss", "hydra": {"sweep": {"dir": str(tmp_path)}}})
    table = SweepTable()
    table.on_job_end(config, job(tmp_path, 0, loss=1.5, val={"uar": 0.5}, test={"uar": 0.25}))
    table.on_job_end(config, job(tmp_path, 1, loss=0.5, val={"uar": 0.7}, test={"uar": 0.75}))
    table.on_multirun_end(config)
    lines = (tmp_path / "sweep.csv").read_text().splitlines()
    assert lines == [
        "job,overrides,val/loss,val/uar,test/uar",
        "1,data.fold=1,0.5,0.7,0.75",
        "0,data.fold=0,1.5,0.5,0.25",
    ]
    printed = capsys.readouterr().out.splitlines()
    assert printed[3].split() == ["mean", "1.0000", "0.6000", "0.5000"]
    assert printed[-1] == f"Written to {tmp_path}/sweep.csv"


def test_best_comes_first_where_more_is_better(tmp_path):
    config = OmegaConf.create({"optimized_metric": "val/uar", "hydra": {"sweep": {"dir": str(tmp_path)}}})
    table = SweepTable()
    for number, uar in enumerate((0.2, 0.9, 0.4)):
        table.on_job_end(config, job(tmp_path, number, loss=uar, val={"accuracy": uar}))
    table.on_multirun_end(config)
    assert [line[0] for line in (tmp_path / "sweep.csv").read_text().splitlines()[1:]] == ["1", "2", "0"]


def test_a_failed_job_is_no_row_and_nothing_is_no_table(tmp_path):
    config = OmegaConf.create({"optimized_metric": "val/loss", "hydra": {"sweep": {"dir": str(tmp_path)}}})
    table = SweepTable()
    failed = SimpleNamespace(status=JobStatus.FAILED, hydra_cfg=None)
    table.on_job_end(config, failed)
    table.on_multirun_end(config)
    assert not (tmp_path / "sweep.csv").exists()


def test_a_column_that_some_jobs_lack_stays_empty():
    text = format_table(
        [{"job": "0", "val/loss": 1.0}, {"job": "1", "val/loss": 3.0, "test/uar": 0.5}], ["job", "val/loss", "test/uar"]
    )
    assert [line.split() for line in text.splitlines()] == [
        ["job", "val/loss", "test/uar"],
        ["0", "1.0000"],
        ["1", "3.0000", "0.5000"],
        ["mean", "2.0000", "0.5000"],
    ]
