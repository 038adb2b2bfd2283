"""A short form of `soak/predict_files.py`, and that it finds what it looks for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SOAK = PROJECT / "soak"


def test_a_few_folders_are_predicted(tmp_path):
    output = tmp_path / "figures.json"
    command = [sys.executable, str(SOAK / "predict_files.py"), "--count", "120", "--seed", "6", "--workers", "1"]
    done = subprocess.run(
        [*command, "--folder-of", "60", "--json", str(output)],
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(output.read_text(encoding="utf-8"))
    (figure,) = told["figures"]
    assert figure["held"]
    assert figure["measured"].startswith("120 files in 2 folders: ")
    assert told["details"]["faults"] == []


def done_with(status=1, out=(), err=""):
    rows = [{"file": str(path), "probabilities": {"a": share, "b": 1 - share}} for path, share in out]
    return subprocess.CompletedProcess([], status, json.dumps(rows) if rows else "", err)


@pytest.fixture
def folder(tmp_path):
    for name in ("good.wav", "bad.wav", "harmless.wav"):
        (tmp_path / name).touch()
    return tmp_path


def complaint(folder, name="bad.wav"):
    return f"error: {folder / name} is empty.\n"


def test_an_answer_or_an_error_for_each_is_right(folder):
    from soak.predict_files import judge

    rows = [(folder / "good.wav", 0.3), (folder / "harmless.wav", 0.6)]
    tally = judge(folder, done_with(out=rows, err=complaint(folder)), alone=[0.6, 0.4])
    assert (tally.answered, tally.refused, tally.faults) == (2, 1, [])


@pytest.mark.parametrize(
    ("shares", "status", "named", "fault"),
    [
        ({"good.wav": 0.3, "harmless.wav": 0.6}, 1, [], "bad.wav was not answered, refused 0x"),
        ({"good.wav": 0.3, "harmless.wav": 0.6}, 1, ["bad.wav", "good.wav"], "good.wav was answered, refused 1x"),
        ({"good.wav": 0.3, "harmless.wav": 0.6}, 1, ["bad.wav", "bad.wav"], "bad.wav was not answered, refused 2x"),
        ({"good.wav": float("nan"), "harmless.wav": 0.6}, 1, ["bad.wav"], "good.wav was given"),
        ({"good.wav": 1.3, "harmless.wav": 0.6}, 1, ["bad.wav"], "good.wav was given"),
        ({"good.wav": 0.3, "harmless.wav": 0.7}, 1, ["bad.wav"], "the harmless recording"),
        ({"good.wav": 0.3, "harmless.wav": 0.6}, 0, ["bad.wav"], "the exit status is 0 after 1 refusals"),
        ({"good.wav": 0.3, "harmless.wav": 0.6}, -11, ["bad.wav"], "the command ended with -11"),
        ({"good.wav": 0.3, "harmless.wav": 0.6}, 2, ["bad.wav"], "the command ended with 2"),
        ({"good.wav": 0.3, "harmless.wav": 0.6, "other.wav": 0.1}, 1, ["bad.wav"], "1 errors for 1 refused"),
        ({"good.wav": 0.3, "harmless.wav": 0.6}, 1, ["bad.wav", "other.wav"], "2 errors for 1 refused"),
    ],
)
def test_anything_else_is_a_fault(folder, shares, status, named, fault):
    from soak.predict_files import judge

    rows = [(folder / name, share) for name, share in shares.items()]
    done = done_with(status, rows, "".join(complaint(folder, name) for name in named))
    assert any(told.startswith(fault) for told in judge(folder, done, alone=[0.6, 0.4]).faults)


def test_a_traceback_is_a_fault(folder):
    from soak.predict_files import judge

    err = "Traceback (most recent call last):\n" + complaint(folder)
    assert "the command ended with 1" in judge(folder, done_with(err=err), alone=None).faults[0]
