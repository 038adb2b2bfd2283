"""A short form of `soak/refusals.py`, and that it finds what it looks for."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ser.errors import AudioError, CheckpointError

PROJECT = Path(__file__).parents[2]
SOAK = PROJECT / "soak"


def test_every_kind_is_refused_and_nothing_is_run(tmp_path):
    output, cwd = tmp_path / "figures.json", tmp_path / "cwd"
    cwd.mkdir()
    command = [sys.executable, str(SOAK / "refusals.py"), "--count", "3", "--json", str(output)]
    environment = {"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(output.read_text(encoding="utf-8"))
    assert all(figure["held"] for figure in told["figures"])
    kinds = told["details"]["kinds"]
    assert min(kinds["checkpoint"], kinds["published model"], kinds["archive"], kinds["configuration"]) >= 25
    assert kinds["download"] >= 8
    assert kinds["cut short"] == 9
    assert list(cwd.iterdir()) == []


def attack_of(attempt, alive=None):
    from soak.attacks import Attack

    return Attack(kind="k", door="d", refused_by=CheckpointError, attempt=attempt, alive=alive)


def refuse(room, canary):
    raise CheckpointError("no")


def run_and_refuse(room, canary):
    canary.mkdir()
    raise CheckpointError("no")


def write_outside(room, canary):
    (room.parent / "outside.wav").touch()
    raise CheckpointError("no")


def raise_other(room, canary):
    raise AudioError("no")


def raise_untyped(room, canary):
    raise KeyError("no")


def raise_two_lines(room, canary):
    raise CheckpointError("no\nno")


def hang(room, canary):
    try:
        time.sleep(60)
    except Exception as error:
        raise CheckpointError("damaged") from error


@pytest.mark.parametrize(
    ("attempt", "fault"),
    [
        (refuse, None),
        (lambda room, canary: None, "was accepted"),
        (run_and_refuse, "something was run"),
        (write_outside, r"there is now ['outside.wav'] outside"),
        (raise_other, "was refused by AudioError, not CheckpointError"),
        (raise_untyped, "KeyError"),
        (raise_two_lines, "the message does not serve"),
        (hang, "took more than 1 s"),
    ],
)
def test_faults_are_found(tmp_path, monkeypatch, attempt, fault):
    from soak import refusals

    monkeypatch.setattr(refusals, "SECONDS", 1)
    told = refusals.fault_of(attack_of(attempt), tmp_path)
    assert (told is None) if fault is None else told.startswith(fault)
    assert list(tmp_path.iterdir()) == []  # ready for the next


def test_a_payload_that_does_nothing_is_a_fault(tmp_path):
    from soak import refusals

    assert refusals.fault_of(attack_of(refuse, alive=lambda room: None), tmp_path) == "the payload is not a live one"
    live = attack_of(refuse, alive=lambda room: os.mkdir(room.parent / "canary"))  # noqa: PTH102 - as a payload would
    assert refusals.fault_of(live, tmp_path) is None
