import math
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import threadpoolctl

from ser.data.workers import core_count, map_in_workers
from ser.errors import SerError


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


def test_a_dead_worker_is_an_error_with_a_remedy():
    with pytest.raises(SerError, match=r"worker processes died.*with fewer workers"):
        list(map_in_workers(die, range(2), workers=2, chunk=1))


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
