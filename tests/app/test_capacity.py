import threading

import pytest

from app.capacity import BusyError, Capacity


def test_no_more_than_the_turns_run_at_once():
    capacity = Capacity(at_once=2, max_waiting=10, patience=30)
    lock, inside, most = threading.Lock(), 0, 0
    two = threading.Barrier(2, timeout=30)

    def work():
        nonlocal inside, most
        with capacity.turn():
            with lock:
                inside += 1
                most = max(most, inside)
            two.wait()  # passes only if two are in at the same time
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 2
    assert inside == 0


def test_one_too_many_is_sent_away_at_once():
    capacity = Capacity(at_once=1, max_waiting=0, patience=30)
    with capacity.turn(), pytest.raises(BusyError), capacity.turn():
        pass
    with capacity.turn():
        pass


def test_patience_ends_and_gives_the_place_back():
    capacity = Capacity(at_once=1, max_waiting=1, patience=0.01)
    with capacity.turn():
        for _ in range(3):
            with pytest.raises(BusyError), capacity.turn():
                pass
    with capacity.turn():
        pass


def test_an_error_gives_the_turn_back():
    capacity = Capacity(at_once=1, max_waiting=0, patience=0.01)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), capacity.turn():
            _ = 1 / 0
