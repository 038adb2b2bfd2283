import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import streamlit as st
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from threadpoolctl import threadpool_info, threadpool_limits

from app import capacity as capacity_module
from app.capacity import BusyError, Capacity, bound_uploads, hold_to_one_thread


def test_no_more_than_the_turns_run_at_once():
    capacity = Capacity(at_once=2, max_waiting=10, patience=30)
    lock, inside, most = threading.Lock(), 0, 0
    two = threading.Barrier(2, timeout=30)

    def work(_):
        nonlocal inside, most
        with capacity.turn():
            with lock:
                inside += 1
                most = max(most, inside)
            two.wait()  # passes only if two are in at the same time
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as visitors:
        list(visitors.map(work, range(8)))
    assert (most, inside) == (2, 0)


@pytest.mark.parametrize(
    ("max_waiting", "patience"), [(0, 30), (1, 0.01)], ids=["no place to wait", "no patience left"]
)
def test_one_too_many_is_sent_away_and_every_place_given_back(max_waiting, patience):
    capacity = Capacity(at_once=1, max_waiting=max_waiting, patience=patience)
    for _ in range(3):
        with pytest.raises(BusyError), capacity.turn(), capacity.turn():
            pass
        with pytest.raises(ZeroDivisionError), capacity.turn():
            _ = 1 / 0
    with capacity.turn():
        pass


@pytest.fixture
def manager(monkeypatch):
    """Streamlit's keeper of uploads; it may hold 10 bytes of a visitor and 15 of all."""
    monkeypatch.setattr(MemoryUploadedFileManager, "add_file", MemoryUploadedFileManager.add_file)
    bound_uploads(of_visitor=10, of_all=15)
    return MemoryUploadedFileManager("/upload")


def add(manager, session, name, n_bytes):
    file = UploadedFileRec(file_id=name, name="a.wav", type="audio/wav", data=bytes(n_bytes))
    manager.add_file(session_id=session, file=file)


def assert_refused(manager, session, name, n_bytes):
    with pytest.raises(HTTPException) as refused:
        add(manager, session, name, n_bytes)
    assert refused.value.status_code == 413
    assert name not in {file.file_id for file in manager.get_files(session, [name])}


def test_a_visitor_may_upload_so_much_and_no_more(manager):
    add(manager, "one", "first", 8)
    assert_refused(manager, "one", "second", 3)
    add(manager, "one", "second", 2)
    add(manager, "one", "first", 7)  # in the place of the first
    manager.remove_file("one", "first")
    add(manager, "one", "third", 8)


def test_all_visitors_together_may_upload_so_much_and_no_more(manager):
    add(manager, "one", "first", 10)
    assert_refused(manager, "two", "first", 6)
    add(manager, "two", "first", 5)
    manager.remove_session_files("one")
    add(manager, "two", "second", 5)


def test_who_has_left_makes_room(manager, monkeypatch):
    runtime = SimpleNamespace(exists=lambda: True, is_active_session=lambda session_id: session_id != "left")
    monkeypatch.setattr(capacity_module, "Runtime", runtime)
    monkeypatch.setattr(capacity_module, "get_instance", lambda: runtime)
    add(manager, "left", "first", 10)
    add(manager, "stays", "first", 3)
    assert [file.file_id for file in manager.get_files("left", ["first"])] == ["first"]  # while there is room
    add(manager, "new", "first", 9)
    assert manager.get_files("left", ["first"]) == []
    assert len(manager.get_files("stays", ["first"])) == 1
    assert_refused(manager, "third", "first", 4)


def test_numerical_libraries_are_held_to_one_thread(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    with threadpool_limits(2):
        hold_to_one_thread()
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"


def test_the_page_puts_every_bound_in_place(app):
    assert not app.exception
    assert MemoryUploadedFileManager.add_file.__module__ == "app.capacity"
    assert MultiPartParser.spool_max_size == 20 * 2**20  # so that no upload is written to the disk


def test_collections_pass_over_what_the_first_page_loads_and_find_what_comes(app):
    gc.unfreeze()
    st.cache_resource.clear()
    assert gc.get_freeze_count() == 0
    try:
        assert not app.run().exception
        assert gc.get_freeze_count() > 0
        assert not any(one is threading.__dict__ for one in gc.get_objects())
        later = threading.Event()
        later.itself = later
        later = weakref.ref(later)
        gc.collect()
        assert later() is None
    finally:
        gc.unfreeze()
