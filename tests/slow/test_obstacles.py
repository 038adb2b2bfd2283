"""A full disk, a folder that cannot be written, Ctrl-C: one sentence, and what was complete before is still there.

A full disk is played by a limit on the size of a file, which makes the same calls fail, and needs no disk of its own.
"""

import os
import re
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest

from ser.data.files import is_locked
from tests.command_line import run_in_process, start


@pytest.fixture
def train_short_of_room(folder):
    """Run train.py where no file can grow over 40 kB: room for logs and settings. It must fail with one sentence."""

    def run(*overrides, holding):
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, unlimited[1]))
        try:
            done = run_in_process("train.py", *overrides, folder=folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert re.match(rf"error: \[Errno 27\] File too large.*{holding}", done.stderr.splitlines()[-1])

    return run


@pytest.fixture
def fresh(shared, tmp_path):
    """The debug experiment on the corpus that others share, with a cache and a run folder of its own."""
    below = (f"paths.output_dir={tmp_path}", f"paths.cache_dir={tmp_path}/cache", f"paths.data_dir={shared}/data")
    return "experiment=debug", "data.workers=1", f"hydra.run.dir={tmp_path}/run", *below


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_checkpoint_that_the_disk_cannot_hold_leaves_the_one_before(debug_run, tmp_path, train_short_of_room):
    run_dir = shutil.copytree(debug_run, tmp_path / "run")
    before = files_in(run_dir / "checkpoints")
    train_short_of_room(f"ckpt_path={run_dir}", "trainer.max_epochs=4", holding=f"{run_dir}/checkpoints/")
    assert files_in(run_dir / "checkpoints") == before


def test_features_that_the_disk_cannot_hold_end_the_run(debug_run, fresh, tmp_path, train_short_of_room):
    train_short_of_room(*fresh, holding=f"{tmp_path}/cache/")
    assert files_in(tmp_path / "cache") == {".making.lock": b""}  # empty, and held by nobody any more
    assert not is_locked(tmp_path / "cache/.making.lock")


def test_a_corpus_that_the_disk_cannot_hold_is_not_left_in_part(fresh, tmp_path, train_short_of_room):
    train_short_of_room(*fresh, f"paths.data_dir={tmp_path}/data", holding="")
    assert files_in(tmp_path / "data") == {}


def test_a_folder_that_cannot_be_written_is_one_sentence(fresh, tmp_path, train):
    (tmp_path / "in-the-way").touch()
    done = train(*fresh, f"hydra.run.dir={tmp_path}/in-the-way/run", status=1)
    assert re.match("error: .*in-the-way", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stdout + done.stderr


def test_ctrl_c_while_features_are_made_keeps_those_that_are(debug_run, fresh, folder, tmp_path):
    process = start("train.py", *fresh, "data.augment_count=8", "data.workers=2", folder=folder)
    while process.poll() is None and not any((tmp_path / "cache").rglob("*.features")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert any((tmp_path / "cache").rglob("*.features"))
