import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ser.data.files import claim_folder, is_locked, replace_when_complete, waiting_lock, write_text_atomically


def test_text_arrives_byte_for_byte_in_a_new_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "notes.txt"
    write_text_atomically(path, "Grüße\r\nzwei\n")
    assert path.read_bytes() == "Grüße\r\nzwei\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("a longer old text")
    write_text_atomically(path, "new")
    assert path.read_text() == "new"


def test_the_old_file_stays_until_the_block_ends(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with replace_when_complete(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("durable", [True, False])
def test_only_a_durable_file_waits_for_the_disk(tmp_path, monkeypatch, durable):
    waited = []
    monkeypatch.setattr(os, "fsync", waited.append)
    with replace_when_complete(tmp_path / "notes.txt", durable=durable) as temporary:
        temporary.write_text("new")
    assert len(waited) == durable
    assert (tmp_path / "notes.txt").read_text() == "new"


def test_a_failing_block_changes_nothing_and_leaves_nothing(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def write_half():
        with replace_when_complete(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unfinished_file_is_not_found_by_its_suffix(tmp_path):
    with replace_when_complete(tmp_path / "model.ckpt") as temporary:
        temporary.write_text("half")
        assert list(tmp_path.rglob("*.ckpt")) == []


def test_two_writers_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "notes.txt"
    with replace_when_complete(path) as first, replace_when_complete(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first.read_text() == "first"
    assert path.read_text() == "first"  # the outer block ended last


def test_a_block_that_wrote_nothing_is_an_error_naming_the_file(tmp_path):
    path = tmp_path / "notes.txt"
    with pytest.raises(FileNotFoundError) as caught, replace_when_complete(path):
        pass
    assert caught.value.filename == str(path)


def test_a_folder_that_is_a_file_is_an_error_naming_it(tmp_path):
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(OSError, match="folder"):
        write_text_atomically(tmp_path / "folder" / "notes.txt", "text")


def test_a_target_that_is_a_folder_is_an_error_and_leaves_nothing(tmp_path):
    target = tmp_path / "notes.txt"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"notes\.txt"):
        write_text_atomically(target, "text")
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    missing = tmp_path / "source.txt"
    with pytest.raises(FileNotFoundError) as caught, replace_when_complete(tmp_path / "copy.txt") as temporary:
        temporary.write_bytes(missing.read_bytes())
    assert caught.value.filename == str(missing)


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is locked on Windows")
def test_a_lock_lets_one_process_in_at_a_time(tmp_path):
    """Another process waits until this one is done, and the lock of a killed one is free."""
    lock, done = tmp_path / "new" / ".lock", tmp_path / "done"
    code = f"""
import os
from pathlib import Path
from ser.data.files import waiting_lock
print("waits", flush=True)
with waiting_lock(Path({str(lock)!r})):
    Path({str(done)!r}).write_text("in")
    print("in", flush=True)
    os.kill(os.getpid(), 9)
"""
    with waiting_lock(lock):
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "waits\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=0.5)
        assert not done.exists()
    assert other.stdout.readline() == "in\n"
    assert other.wait(timeout=60) == -9
    other.stdout.close()
    with waiting_lock(lock):
        pass


def test_a_held_lock_is_seen_without_being_taken(tmp_path):
    lock = tmp_path / ".lock"
    assert not is_locked(lock)
    with waiting_lock(lock):
        assert is_locked(lock)
    assert not is_locked(lock)


def test_a_claimed_folder_is_new_and_its_name_follows(tmp_path):
    path = tmp_path / "new" / "run.1"
    assert [claim_folder(path).name for _ in range(3)] == ["run.1", "run.1-2", "run.1-3"]
    (tmp_path / "file").touch()
    (tmp_path / "file-2").symlink_to("nowhere")
    assert claim_folder(tmp_path / "file") == tmp_path / "file-3"
    with pytest.raises(OSError, match="file"):
        claim_folder(tmp_path / "file" / "run")


def test_claimants_of_one_folder_each_get_their_own(tmp_path):
    code = f"""
from pathlib import Path
from ser.data.files import claim_folder
input()
for _ in range(50):
    print(claim_folder(Path({str(tmp_path / "run")!r})))
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    others = [subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        printed = [pool.submit(other.communicate, "go\n") for other in others]
        ours = list(pool.map(claim_folder, [tmp_path / "run"] * 50))
        theirs = [Path(line) for future in printed for line in future.result()[0].splitlines()]
    assert sorted([*ours, *theirs]) == sorted(tmp_path.iterdir())
    assert len(ours) + len(theirs) == 150
