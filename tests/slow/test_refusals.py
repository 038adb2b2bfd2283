"""Hostile checkpoints, pretrained models, archives, servers and configurations: each refused, nothing run."""

import logging
import random
import time
from functools import partial
from pathlib import Path

import pooch
import pytest

from ser.errors import AudioError, CheckpointError, DownloadError
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MODELS
from tests.slow.attacks import Attack, TooSlow, limits, make
from tests.slow.hostile_archives import archive_attacks, unpack_in, zip_of
from tests.slow.hostile_models import good_content, model_attacks, saved
from tests.slow.hostile_settings import configuration_attacks

ATTACKS = [*model_attacks(), *archive_attacks(), *configuration_attacks()]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path_factory, monkeypatch):
    pooch.get_logger().setLevel(logging.WARNING)
    folder = tmp_path_factory.mktemp("empty")
    monkeypatch.chdir(folder)
    yield
    assert not list(folder.iterdir())


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.kind)
def test_it_is_refused_and_nothing_is_run(attack, tmp_path):
    make(attack, tmp_path)


def test_the_attacks_are_many_and_each_another():
    kinds = [attack.kind for attack in ATTACKS]
    assert len(kinds) == len(set(kinds)) >= 130
    assert sum(attack.alive is not None for attack in ATTACKS) >= 15


def load(folder: Path, content: bytes, name: str) -> None:
    (folder / name).write_bytes(content)
    (folder / "cut.json").write_bytes((MODELS / f"{DEFAULT_MODEL}.json").read_bytes())
    Predictor.load(folder / name)


WHOLE = {
    "checkpoint": (lambda: saved(good_content()), partial(load, name="cut.ckpt")),
    "pretrained": ((MODELS / f"{DEFAULT_MODEL}.safetensors").read_bytes, partial(load, name="cut.safetensors")),
    "archive": (lambda: zip_of({f"{k}.wav": random.Random(k).randbytes(3_000) for k in range(9)}), unpack_in),  # noqa: S311
}
"""Door -> content that would be accepted, and the door itself."""


@pytest.mark.parametrize("door", WHOLE)
def test_what_is_cut_short_is_refused(door, times, tmp_path):
    content, places = WHOLE[door][0](), random.Random(0)  # noqa: S311
    refused_by = DownloadError if door == "archive" else CheckpointError
    for number in range(5 * times):
        end = places.randrange(len(content))
        (tmp_path / str(number)).mkdir()
        cut = Attack(f"cut at {end}", refused_by, lambda folder, _, end=end: WHOLE[door][1](folder, content[:end]))
        make(cut, tmp_path / str(number))


def refuse(room, canary, *, error=CheckpointError, message="no", beside=None):
    if beside is not None:
        (room.parent / beside).mkdir()
    raise error(message)


def test_faults_are_found(tmp_path):
    def made(attempt, name, alive=None):
        (tmp_path / name).mkdir()
        make(Attack("k", CheckpointError, attempt, alive), tmp_path / name)

    made(refuse, "as it should")
    made(refuse, "alive", alive=lambda room: (room.parent / "canary").mkdir())
    for name in ("canary", "outside"):
        with pytest.raises(AssertionError, match="something was run"):
            made(partial(refuse, beside=name), name)
    with pytest.raises(AssertionError, match="not a live one"):
        made(refuse, "dead", alive=lambda room: None)
    with pytest.raises(AudioError):
        made(partial(refuse, error=AudioError), "another error")
    with pytest.raises(TooSlow), limits(seconds=1, n_bytes=2**30):
        time.sleep(60)
    with pytest.raises(MemoryError), limits(seconds=60, n_bytes=2**20):
        bytearray(2**28)
