import math
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path
from unittest.mock import Mock

import pytest
import threadpoolctl

from ser.data import cache
from ser.data.cache import prepare
from ser.data.recipe import Sample
from ser.data.workers import WAITING_VARIABLES, core_count, map_in_workers, spin_briefly
from ser.errors import AudioError, SerError
from tests.command_line import is_one_sentence
from tests.prepared import RECIPE


def is_out_of_reach(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def where(_):
    return os.getpid()


def threads(_):
    return {library["num_threads"] for library in threadpoolctl.threadpool_info()}


def reciprocal(number):
    return 1 / number


def die(_):
    os._exit(9)


def be_killed(_):
    os.kill(os.getpid(), signal.SIGKILL)


def crash(_):
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_exceptions_pass_through(workers):
    assert list(map_in_workers(math.sqrt, range(20), workers=workers, chunk=3)) == [n**0.5 for n in range(20)]
    with pytest.raises(ZeroDivisionError):
        list(map_in_workers(reciprocal, [1, 0, 2], workers=workers, chunk=1))


def test_work_is_spread_over_processes_of_one_thread(monkeypatch):
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(variable, "2")
    assert os.getpid() not in set(map_in_workers(where, range(4), workers=2, chunk=1))
    assert list(map_in_workers(threads, range(2), workers=2, chunk=1)) == [{1}, {1}]


def test_little_work_stays_here_and_on_one_thread():
    assert set(map_in_workers(where, range(8), workers=4, chunk=8)) == {os.getpid()}
    with threadpoolctl.threadpool_limits(2):
        assert list(map_in_workers(threads, range(2), workers=1)) == [{1}, {1}]
    assert list(map_in_workers(math.sqrt, [], workers=0)) == []


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (
            be_killed,
            "was killed, most likely because memory ran out; start again with own=1, ",
        ),
        (crash, "was ended by signal 11; start again with own=1, "),
        (die, "ended with status 9, .* stands above; start again with own=1, "),
    ],
)
def test_a_dead_worker_is_an_error_that_names_the_cause_and_the_remedy(end, sentence):
    with pytest.raises(SerError, match=rf"^One of 2 worker processes {sentence}"):
        list(map_in_workers(end, range(2), workers=2, chunk=1, key="own"))
    assert multiprocessing.active_children() == []


def test_preparation_names_its_own_key(recordings, tmp_path, monkeypatch):
    made = Mock(return_value=iter([None]))
    monkeypatch.setattr(cache, "map_in_workers", made)
    with pytest.raises(AudioError):
        prepare([Sample(recording=recordings[0])], RECIPE, cache_dir=tmp_path, workers=2)
    assert made.call_args.kwargs["key"] == "data.workers"


SCRIPT = """
import time
from ser.cli.command import exit_status
from ser.data.workers import map_in_workers

def work():
    for result in map_in_workers(time.sleep, [0.01, 60, 60, 60], workers=2, chunk=1):
        print("done", flush=True)
    return 0

if __name__ == "__main__":
    print("begins", flush=True)
    raise SystemExit(exit_status(work))
"""
UNGUARDED = """
import numpy as np
from ser import load_model
from ser.cli.command import exit_status

model = load_model("ser-ravdess")
hum = 0.1 * np.sin(2 * np.pi * 220 * np.arange(16_000) / 16_000), 16_000
raise SystemExit(exit_status(lambda: len(list(model.predict_many([hum] * 12, workers=2)))))
"""


def test_a_script_without_the_guard_is_told_of_it(tmp_path):
    (tmp_path / "mine.py").write_text(UNGUARDED)
    done = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert is_one_sentence(done.stderr, '`if __name__ == "__main__":`'), done.stderr
    assert done.stderr.endswith("or give workers=1.\n")


def test_a_script_with_the_guard_is_not(tmp_path):
    guarded = UNGUARDED.replace("\nmodel", '\nif __name__ == "__main__":\n  model').replace("\nhum", "\n  hum")
    (tmp_path / "mine.py").write_text(guarded.replace("\nraise", "\n  raise"))
    done = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (12, "")


@pytest.mark.parametrize("moment", ["start", "start, twice", "map", "map, twice"])
def test_ctrl_c_ends_all_without_a_traceback(moment, tmp_path):
    (tmp_path / "mine.py").write_text(
        f'{SCRIPT}\nif __name__ == "__main__":\n    raise SystemExit(exit_status(work))\n'
    )
    process = subprocess.Popen(
        [sys.executable, "mine.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    line = {"start": "begins", "map": "done"}[moment.partition(",")[0]]
    while process.stdout.readline() != f"{line}\n":
        assert process.poll() is None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text():  # the first one, long before it has imported anything
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    if moment.endswith("twice"):
        time.sleep(1)  # while it waits for the workers
        os.killpg(process.pid, signal.SIGINT)
    else:  # it lets them finish, which would take a minute here
        for child in children.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGTERM)
    # The workers inherit standard output, which so reaches its end only when the last of them is gone.
    _, said = process.communicate(timeout=50)
    assert (process.returncode, said) == (130, "interrupted\n")


def test_spinning_briefly_leaves_what_a_user_has_set(monkeypatch):
    for name in WAITING_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    spin_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "100"
    for name in WAITING_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    spin_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ


def test_a_command_says_how_to_wait_before_torch_is_there():
    code = """
import os, sys
from ser.cli import hydra_command

def look():
    assert os.environ["GOMP_SPINCOUNT"] == "100" and "torch" not in sys.modules
    os._exit(7)

hydra_command._make_ready = look
from ser.cli.main import main
main(["train"])
"""
    environment = {name: value for name, value in os.environ.items() if name not in WAITING_VARIABLES}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 7


def test_ctrl_c_reaches_no_worker_and_its_parent_still():
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    try:
        assert all(map_in_workers(is_out_of_reach, range(2), workers=2, chunk=1))
        assert not is_out_of_reach(None)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_workers_end_when_their_parent_is_killed():
    code = """
        import os, time
        from ser.data.workers import map_in_workers

        if __name__ == "__main__":
            for _ in map_in_workers(time.sleep, [1, 100, 100], workers=2, chunk=1):
                os.kill(os.getpid(), 9)
    """
    # The workers inherit standard output, which so reaches its end only when the last of them is gone.
    finished = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, timeout=60)
    assert finished.returncode == -9


def test_there_is_a_core():
    assert 1 <= core_count() <= os.cpu_count()


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_are_taken_only_some_chunks_ahead(workers):
    taken = []
    results = map_in_workers(math.sqrt, (taken.append(n) or n for n in range(1000)), workers=workers, chunk=2)
    assert [next(results) for _ in range(5)] == [n**0.5 for n in range(5)]
    assert len(taken) < 40
    assert list(results) == [n**0.5 for n in range(5, 1000)]
