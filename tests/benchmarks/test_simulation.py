"""The simulation of a cluster against closed formulas, where there are some."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from statistics import mean

import numpy as np
import pytest

from benchmarks.simulation import (
    Cluster,
    Rates,
    checkpoint_interval,
    n_ranks,
    prepare,
    run_tasks,
    score,
    step_seconds,
    train,
)
from tests.command_line import ROOT

IDEAL = Cluster(
    cores=4, storage_gb_s=1e9, network_gb_s=1e9, open_ms=0, mtbf_hours=math.inf, spread=0, step_spread=0, slow=0,
    checkpoint_seconds=0,
)  # fmt: skip
"""Nothing is late, nothing dies, and bytes take no time."""
TASK = {"compute": 10.0, "read": 0.0, "write": 0.0, "driver": 0.0, "seed": 0}
RATES = Rates(start_of_row=0, task_seconds=0, batch=10, trained=100, cores_of_rank=1)


@pytest.mark.parametrize("machines", [1, 3])
@pytest.mark.parametrize("n_tasks", [1, 24, 25])
def test_without_any_trouble_the_time_is_that_of_the_work_by_the_cores(n_tasks, machines):
    stage = run_tasks(n_tasks, replace(IDEAL, machines=machines), **TASK)
    slots = 4 * machines
    assert stage.seconds == pytest.approx(10 * math.ceil(n_tasks / slots))
    assert stage.computing == pytest.approx(n_tasks * 10 / slots / stage.seconds)
    assert (stage.again, stage.deaths) == (0, 0)


def test_all_bytes_go_through_the_storage_at_its_bandwidth():
    cluster = replace(IDEAL, machines=2, storage_gb_s=0.1)
    stage = run_tasks(80, cluster, **TASK | {"compute": 0.0, "read": 3e8, "write": 1e8})
    assert stage.seconds == pytest.approx(80 * 4e8 / 1e8)
    assert stage.storage == pytest.approx(1)
    assert stage.bottleneck == "storage"
    # Eight cores in step: ten times each of them computes for a second while nothing is moved.
    both = run_tasks(80, cluster, **TASK | {"compute": 1.0, "read": 3e8, "write": 1e8})
    assert both.seconds == pytest.approx(stage.seconds + 10)


def test_a_single_machine_reads_at_the_speed_of_its_network():
    stage = run_tasks(40, replace(IDEAL, network_gb_s=0.1), **TASK | {"compute": 0.0, "read": 1e8})
    assert stage.seconds == pytest.approx(40)


def test_a_driver_that_is_slower_than_the_cores_sets_the_pace():
    stage = run_tasks(500, replace(IDEAL, machines=100), **TASK | {"driver": 0.5})
    assert stage.seconds == pytest.approx(500 * 0.5 + 10)
    assert stage.bottleneck == "driver"


@pytest.mark.parametrize("machines", [2, 10, 40])
def test_a_serial_part_bounds_the_gain_as_amdahl_says(machines):
    def seconds(m):
        return n / RATES.listed + prepare(n, replace(IDEAL, machines=m), RATES).seconds

    n = 1000 * 4 * 40
    serial = n / RATES.listed / seconds(1)
    assert seconds(1) / seconds(machines) == pytest.approx(1 / (serial + (1 - serial) / machines))


def test_stragglers_keep_to_the_bounds_of_list_scheduling():
    cluster = replace(IDEAL, machines=5, spread=0.8)
    stage = run_tasks(300, cluster, **TASK)
    work = stage.computing * stage.seconds * 20
    assert work == pytest.approx(300 * 10, rel=0.15)  # the mean of the times is that of the measurement
    rng = np.random.default_rng(0)
    longest = 10 * math.exp(max(rng.normal(-0.32, 0.8) for _ in range(300)))
    assert work / 20 <= stage.seconds <= work / 20 + longest  # Graham's bound
    assert stage.seconds > 10 * 300 / 20 * 1.02


def test_slow_machines_do_less_of_the_tasks():
    # Two machines, one of them half as fast: two thirds and one third, so 1.5 machines.
    stage = run_tasks(1200, replace(IDEAL, machines=2, slow=0.5), **TASK)
    assert stage.seconds == pytest.approx(1200 * 10 / 4 / 1.5, rel=0.01)


def test_the_rework_of_deaths_is_that_of_a_task_that_begins_again():
    """A task of t seconds, deaths at random with mean M between, R until the machine is back: (e^(t/M) - 1) (M + R)."""
    cluster = replace(IDEAL, cores=1, mtbf_hours=30 / 3600, away_minutes=0.1)
    n_tasks = 4000
    stage = run_tasks(n_tasks, cluster, **TASK)
    assert stage.seconds / n_tasks == pytest.approx((math.exp(10 / 30) - 1) * (30 + 6), rel=0.03)
    assert stage.again == pytest.approx((math.exp(10 / 30) - 1) * 30 / 10 - 1, rel=0.1)
    assert stage.deaths == pytest.approx(stage.seconds / 36, rel=0.05)


def test_machines_under_repair_leave_the_fraction_that_is_up():
    cluster = replace(IDEAL, machines=20, mtbf_hours=1000 / 3600, away_minutes=250 / 60)
    stage = run_tasks(20_000, cluster, **TASK | {"compute": 1.0})
    assert stage.computing == pytest.approx(1000 / (1000 + 250), rel=0.05)


def test_a_training_without_trouble_takes_its_steps():
    cluster = replace(IDEAL, machines=5)
    assert n_ranks(cluster, RATES) == 20
    stage = train(100_001, 3, cluster, RATES, seed=0)
    turns = 2 * math.log2(5) * 50e-6  # of the exchange of gradients, whose bytes take no time here
    assert stage.seconds == pytest.approx(3 * 501 * (0.1 + turns))
    assert stage.computing == pytest.approx(0.1 / (0.1 + turns))


def test_a_step_waits_for_the_slowest_of_all_ranks():
    cluster = replace(IDEAL, machines=50, step_spread=0.1)
    of_many, of_one_machine, one = (
        step_seconds(replace(cluster, machines=machines, cores=cores), RATES, seed=1)[1]
        for machines, cores in ((50, 4), (1, 4), (1, 1))
    )
    # Order statistics: the largest of 200 normal values lies 2.75 deviations above their mean, that of 4 lies 1.03.
    assert one == pytest.approx(0.1, rel=0.03)
    assert of_many == pytest.approx(0.1 * math.exp(0.275), rel=0.03)
    assert of_one_machine == pytest.approx(0.1 * math.exp(0.103), rel=0.03)
    assert step_seconds(replace(IDEAL, machines=10, slow=0.1), RATES, seed=0)[1] == pytest.approx(0.2)


def test_a_training_that_cannot_read_fast_enough_waits_for_the_storage():
    cluster = replace(IDEAL, storage_gb_s=0.01)
    stage = train(4000, 1, cluster, RATES, seed=0)
    assert stage.seconds == pytest.approx(4000 * RATES.prepared_bytes / 1e7)
    assert stage.bottleneck == "storage"


def test_deaths_cost_a_training_what_daly_says_and_youngs_interval_is_the_best():
    """Blocks of t seconds and c for a checkpoint, M between deaths, R to start anew: (e^((t + c) / M) - 1) (M + R)."""
    work, between, restart, saving = 3000.0, 400.0, 30.0, 4.0
    rates = replace(RATES, batch=1, trained=1)
    cluster = replace(IDEAL, cores=1, mtbf_hours=between / 3600, away_minutes=restart / 60, checkpoint_seconds=saving)

    def seconds(interval, runs=300):
        each = replace(cluster, checkpoint_minutes=interval / 60)
        return mean(train(round(work), 1, each, rates, seed=seed).seconds for seed in range(runs))

    def expected(interval):
        return work / interval * (math.exp((interval + saving) / between) - 1) * (between + restart)

    best = checkpoint_interval(between, saving)
    assert best == pytest.approx(math.sqrt(2 * 4 * 400))
    for interval in (20.0, 50.0, 200.0, 1000.0):
        assert seconds(interval) == pytest.approx(expected(interval), rel=0.04)
    assert expected(best) == pytest.approx(min(expected(one) for one in np.arange(5, 500)), rel=0.01)


def test_the_same_seed_gives_the_same_figures_and_another_seed_others():
    cluster = Cluster(machines=3, mtbf_hours=0.02)
    runs = [score(100_000, cluster, Rates(), seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert runs[0].deaths > 0


def test_the_command_prints_its_tables_and_takes_rates_of_a_file(tmp_path):
    def run(*arguments, status=0):
        command = [sys.executable, "benchmarks/cluster.py", "--machines", "1", "3", "--hours", "200", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    (tmp_path / "rates.json").write_text(json.dumps({"prepared": 45}))
    minutes = []
    for given in ([], ["--rates", str(tmp_path / "rates.json")]):
        costs, busy, limits, changes = re.findall(r"(?:^\|.*\n)+", run(*given).stdout, re.MULTILINE)
        rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in costs.splitlines()[2:]]
        assert [row[:2] for row in rows] == [
            [corpus, machines] for corpus in ("a million utterances", "200 hours") for machines in ("1", "3")
        ]
        assert busy.count("\n") == 2 + 2 * 3
        assert "| 1,000 | smaller parts |" in limits
        assert changes.splitlines()[2].startswith("| as assumed | ")
        minutes.append(float(rows[0][3].removesuffix(" min")))
    assert minutes[1] == pytest.approx(2 * minutes[0], rel=0.15)
    (tmp_path / "rates.json").write_text(json.dumps({"prepaired": 45}))
    done = run("--rates", str(tmp_path / "rates.json"), status=2)
    assert "prepaired is not a rate" in done.stderr
