import gc
import os
import threading
import weakref

import pytest
import streamlit as st
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from threadpoolctl import threadpool_info, threadpool_limits

from app import capacity as capacity_module
from app.capacity import (
    BusyError,
    Capacity,
    bound_uploads,
    hold_to_one_thread,
    keep_uploads_in_memory,
    spare_from_collections,
)


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
    class OnlyTwoIsThere:
        @staticmethod
        def exists():
            return True

        @staticmethod
        def is_active_session(session_id):
            return session_id != "left"

    monkeypatch.setattr(capacity_module, "Runtime", OnlyTwoIsThere)
    monkeypatch.setattr(capacity_module, "get_instance", OnlyTwoIsThere)
    add(manager, "left", "first", 10)
    add(manager, "stays", "first", 3)
    assert [file.file_id for file in manager.get_files("left", ["first"])] == ["first"]  # while there is room
    add(manager, "new", "first", 9)
    assert manager.get_files("left", ["first"]) == []
    assert len(manager.get_files("stays", ["first"])) == 1
    assert_refused(manager, "third", "first", 4)


def test_uploads_of_the_largest_size_are_not_spooled_to_disk(monkeypatch):
    monkeypatch.setattr(MultiPartParser, "spool_max_size", MultiPartParser.spool_max_size)
    keep_uploads_in_memory(12345)
    assert MultiPartParser.spool_max_size == 12345


def test_numerical_libraries_are_held_to_one_thread(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    with threadpool_limits(2):
        hold_to_one_thread()
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"


def test_the_page_puts_every_bound_in_place(app, monkeypatch):
    assert not app.exception
    assert MemoryUploadedFileManager.add_file.__module__ == "app.capacity"
    assert MultiPartParser.spool_max_size == 20 * 2**20


def test_the_first_page_spares_what_is_loaded_from_collections(app):
    gc.unfreeze()
    st.cache_resource.clear()
    assert gc.get_freeze_count() == 0
    try:
        assert not app.run().exception
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_collections_pass_over_what_is_there_and_find_what_comes():
    class Node:
        pass

    def ring():
        one = Node()
        one.itself = one
        return weakref.ref(one)

    was = gc.get_freeze_count()
    spare_from_collections()
    try:
        assert gc.get_freeze_count() > was
        assert not any(one is threading.__dict__ for one in gc.get_objects())
        later = ring()
        gc.collect()
        assert later() is None
    finally:
        gc.unfreeze()
