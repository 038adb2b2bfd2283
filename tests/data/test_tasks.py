"""Tasks that are done once each, by this process, by worker processes, and by Ray where that is installed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pytest

from ser.data.tasks import PLAN, Plan, part_name, run_tasks
from ser.errors import SerError, SettingsError

try:
    import ray
except ImportError:
    ray = None

needs_ray = pytest.mark.skipif(ray is None, reason="Ray is not installed")
LAUNCHERS = [("processes", 1), ("processes", 2), pytest.param("ray", 2, marks=needs_ray)]


@dataclass(frozen=True)
class Squares:
    """Makes a work that squares numbers, and leaves a mark of each time that it was made or did a task."""

    marks: Path
    dies: tuple[int, ...] = ()
    always: bool = False

    def __call__(self):
        self.mark("made")
        return self.work

    def work(self, items, number):
        self.mark(f"task-{number}")
        is_first = len(list(self.marks.glob(f"task-{number}.*"))) == 1
        if number in self.dies and (is_first or self.always):
            os.kill(os.getpid(), signal.SIGKILL)
        return pa.table({"item": list(items), "square": [item**2 for item in items]})

    def mark(self, what):
        self.marks.mkdir(exist_ok=True)
        (self.marks / f"{what}.{os.getpid()}.{time.time_ns()}").touch()


def refuse(items, number):
    raise SerError(f"task {number} is refused")


def make_refusing():
    return refuse


def plan_of(n=10, size=3, **depends):
    return Plan(items=range(n), size=size, depends={"model": "a", **depends})


def rows_in(folder):
    return pyarrow.dataset.dataset(folder).to_table().to_pylist()


@pytest.mark.parametrize(("launcher", "workers"), LAUNCHERS)
def test_each_task_is_done_once_and_a_second_run_does_what_is_missing(launcher, workers, tmp_path):
    folder, make = tmp_path / "out", Squares(tmp_path / "marks")
    run = {"folder": str(folder), "launcher": launcher, "workers": workers}
    reports = list(run_tasks(plan_of(), make, **run))
    assert sorted((report.number, report.n_items) for report in reports) == [(0, 3), (1, 3), (2, 3), (3, 1)]
    assert all(report.seconds > 0 for report in reports)
    assert rows_in(folder) == [{"item": n, "square": n * n} for n in range(10)]
    assert 1 <= len(list(make.marks.glob("made.*"))) <= workers  # not once a task
    (folder / part_name(2)).unlink()
    reports = list(run_tasks(plan_of(), make, **run))
    assert [report.number for report in reports] == [0, 1, 3, 2]
    assert [report.seconds is None for report in reports] == [True, True, True, False]
    assert rows_in(folder) == [{"item": n, "square": n * n} for n in range(10)]
    assert len(list(make.marks.glob("task-*"))) == 5


@pytest.mark.parametrize(("launcher", "workers"), LAUNCHERS[1:])
def test_the_task_of_a_worker_that_was_killed_is_tried_once_more(launcher, workers, tmp_path):
    make = Squares(tmp_path / "marks", dies=(1, 3))
    reports = run_tasks(plan_of(), make, folder=str(tmp_path / "out"), launcher=launcher, workers=workers)
    assert sorted(report.number for report in reports) == [0, 1, 2, 3]
    assert rows_in(tmp_path / "out") == [{"item": n, "square": n * n} for n in range(10)]


@pytest.mark.parametrize(("launcher", "workers"), LAUNCHERS[1:])
def test_a_task_that_kills_its_worker_twice_is_named(launcher, workers, tmp_path):
    make = Squares(tmp_path / "marks", dies=(1,), always=True)
    with pytest.raises(SerError, match=r"^Task 1 \(items 3 to 5, counted from 0\) ended its worker twice: "):
        list(run_tasks(plan_of(), make, folder=str(tmp_path / "out"), launcher=launcher, workers=workers))
    assert len(list(make.marks.glob("task-1.*"))) == 2
    assert not (tmp_path / "out" / part_name(1)).exists()


@pytest.mark.parametrize(("launcher", "workers"), LAUNCHERS)
def test_an_error_of_the_work_passes_through(launcher, workers, tmp_path):
    with pytest.raises(SerError, match=r"^task \d is refused$"):
        list(run_tasks(plan_of(), make_refusing, folder=str(tmp_path), launcher=launcher, workers=workers))
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (plan_of(size=4), r"3 items in a task, not 4"),
        (plan_of(n=11), r"other items \(10 of them, not 11\)"),
        (Plan(items=[*range(9), 10], size=3, depends={"model": "a"}), "other items, though as many, or in another"),
        (Plan(items=range(10), size=3, depends={"model": "b"}), r"another model \(a, not b\)"),
        (plan_of(single="yes"), r"another single \(None, not yes\)"),
    ],
)
def test_a_folder_of_another_plan_is_refused_and_left_as_it_is(other, difference, tmp_path):
    folder, make = tmp_path / "out", Squares(tmp_path / "marks")
    list(run_tasks(plan_of(), make, folder=str(folder), workers=1))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SettingsError, match=rf"^{folder} was begun with {difference}.*; name another folder\.$"):
        list(run_tasks(other, make, folder=str(folder), workers=1))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_with_results_is_gone_on_with_only_where_that_is_wanted(tmp_path):
    folder, make = tmp_path / "out", Squares(tmp_path / "marks")
    run = {"folder": str(folder), "workers": 1}
    assert len(list(run_tasks(plan_of(), make, **run, resume=False))) == 4
    with pytest.raises(SettingsError, match="has results already; go on with them by `--resume`"):
        list(run_tasks(plan_of(), make, **run, resume=False))
    (folder / PLAN).write_text("{")
    with pytest.raises(SettingsError, match="is damaged"):
        list(run_tasks(plan_of(), make, **run))
    (folder / PLAN).write_text("[]")
    with pytest.raises(SettingsError, match="was begun with another kind of plan"):
        list(run_tasks(plan_of(), make, **run))
    (folder / PLAN).unlink()
    with pytest.raises(SettingsError, match=f"holds Parquet files, but no {PLAN}"):
        list(run_tasks(plan_of(), make, **run))


def test_the_plan_is_readable_and_what_killed_ones_have_left_is_removed(tmp_path):
    leftover = tmp_path / f".{part_name(0)}.12345678.partial"
    leftover.write_bytes(b"PAR1")
    running = run_tasks(plan_of(), Squares(tmp_path / "marks"), folder=str(tmp_path), workers=1)
    next(running)
    assert not leftover.exists()
    plan = json.loads((tmp_path / PLAN).read_text())
    assert (plan["n_items"], plan["items_of_a_task"], plan["depends"]) == (10, 3, {"model": "a"})
    with pytest.raises(SettingsError, match=f"^Another process writes to {tmp_path}; wait for it"):
        list(run_tasks(plan_of(), Squares(tmp_path / "marks"), folder=str(tmp_path), workers=1))
    running.close()


def test_a_plan_has_tasks_of_at_least_one_item():
    with pytest.raises(SettingsError, match="A task has 0 items"):
        plan_of(size=0)


def test_an_address_is_a_folder_too(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    folder, make = "memory://tasks/out", Squares(tmp_path / "marks")
    assert len(list(run_tasks(plan_of(), make, folder=folder, workers=1))) == 4
    filesystem = fsspec.filesystem("memory")
    filesystem.rm(f"/tasks/out/{part_name(1)}")
    assert [one.number for one in run_tasks(plan_of(), make, folder=folder, workers=1)] == [0, 2, 3, 1]
    found = pyarrow.dataset.dataset("/tasks/out", filesystem=filesystem).to_table().to_pylist()
    assert found == [{"item": n, "square": n * n} for n in range(10)]


def test_what_the_address_needs_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"^nonsense://a cannot be opened: .*nonsense.*\.$"):
        list(run_tasks(plan_of(), make_refusing, folder="nonsense://a", workers=1))


@pytest.mark.skipif(ray is not None, reason="Ray is installed")
def test_where_ray_is_missing_one_sentence_says_what_to_install(tmp_path):
    with pytest.raises(SettingsError, match=r'^--launcher ray needs ray, .*pip install "ser\[ray\]"\.$'):
        list(run_tasks(plan_of(), make_refusing, folder=str(tmp_path), launcher="ray"))


SCRIPT = """
import sys
from pathlib import Path
from tests.data.test_tasks import Slow, plan_of
from ser.data.tasks import run_tasks

if __name__ == "__main__":
    for report in run_tasks(plan_of(n=12), Slow(Path(sys.argv[2])), folder=sys.argv[1], workers=2):
        print(report.number, flush=True)
"""


class Slow(Squares):
    """A work that takes some time."""

    def work(self, items, number):
        time.sleep(0.2)
        return super().work(items, number)


def test_a_run_that_is_killed_leaves_no_process_and_loses_and_doubles_nothing(tmp_path):
    folder = tmp_path / "out"
    command = [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / "marks")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        while process.poll() is None and not process.stdout.readline():
            pass
        process.kill()  # the workers see it by themselves, and close what they inherited
        process.communicate(timeout=60)
        assert 1 <= len(list(folder.glob("part-*.parquet"))) < 4
    list(run_tasks(plan_of(n=12), Slow(tmp_path / "marks"), folder=str(folder), workers=1))
    assert rows_in(folder) == [{"item": n, "square": n * n} for n in range(12)]
