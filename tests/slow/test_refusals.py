"""Hostile checkpoints, pretrained models, archives, servers and configurations: each refused, nothing run."""

import logging
import random
import resource
import time
from functools import partial
from pathlib import Path

import pooch
import pytest

from ser.errors import AudioError, CheckpointError, DownloadError
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MODELS
from tests.slow import attacks
from tests.slow.attacks import Attack, fault_of
from tests.slow.hostile_archives import archive_attacks, unpack_in, zip_of
from tests.slow.hostile_models import good_content, model_attacks, saved
from tests.slow.hostile_settings import configuration_attacks

ATTACKS = [*model_attacks(), *archive_attacks(), *configuration_attacks()]


@pytest.fixture(autouse=True)
def limits(tmp_path, monkeypatch):
    """1.5 GiB of memory beyond what is taken, so that whatever would fill it fails; an empty working folder."""
    pooch.get_logger().setLevel(logging.WARNING)
    for name in ("cwd", "place"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    held = int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held + 3 * 2**29, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)
    assert not list((tmp_path / "cwd").iterdir())


@pytest.fixture
def place(tmp_path):
    """The folder that an attack is made in."""
    return tmp_path / "place"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.kind)
def test_it_is_refused_and_nothing_is_run(attack, place):
    assert fault_of(attack, place) is None


def test_the_attacks_are_many_and_each_another():
    kinds = [attack.kind for attack in ATTACKS]
    assert len(kinds) == len(set(kinds)) >= 170
    assert sum(attack.alive is not None for attack in ATTACKS) >= 18


def _load(name: str, folder: Path, content: bytes) -> None:
    (folder / name).write_bytes(content)
    (folder / "cut.json").write_bytes((MODELS / f"{DEFAULT_MODEL}.json").read_bytes())
    Predictor.load(folder / name)


@pytest.mark.parametrize(
    ("whole", "door", "refused_by"),
    [
        (lambda: saved(good_content()), partial(_load, "cut.ckpt"), CheckpointError),
        (
            lambda: (MODELS / f"{DEFAULT_MODEL}.safetensors").read_bytes(),
            partial(_load, "cut.safetensors"),
            CheckpointError,
        ),
        (lambda: zip_of({f"{k}.wav": random.Random(k).randbytes(3_000) for k in range(9)}), unpack_in, DownloadError),  # noqa: S311
    ],
    ids=["checkpoint", "pretrained", "archive"],
)
def test_what_is_cut_short_is_refused(whole, door, refused_by, times, place):
    content, places = whole(), random.Random(0)  # noqa: S311
    for number in range(5 * times):
        end = places.randrange(len(content))
        (place / str(number)).mkdir()
        attack = Attack(f"cut at {end}", refused_by, lambda folder, _, end=end: door(folder, content[:end]))
        assert fault_of(attack, place / str(number)) is None, attack.kind


def refuse(room, canary, error=CheckpointError, message="no", beside=None):
    if beside is not None:
        (room.parent / beside).mkdir()
    raise error(message)


def hang(room, canary):
    try:
        time.sleep(60)
    except Exception as error:
        raise CheckpointError("damaged") from error


@pytest.mark.parametrize(
    ("attempt", "alive", "fault"),
    [
        (refuse, None, None),
        (lambda room, canary: None, None, "was accepted"),
        (partial(refuse, beside="canary"), None, "something was run"),
        (partial(refuse, beside="outside"), None, "there is now ['outside'] outside"),
        (partial(refuse, error=AudioError), None, "was refused by AudioError, not CheckpointError"),
        (partial(refuse, error=KeyError), None, "was refused by KeyError"),
        (partial(refuse, message="no\nno"), None, "the message does not serve"),
        (hang, None, "took more than 1 s"),
        (refuse, lambda room: None, "the payload is not a live one"),
        (refuse, lambda room: (room.parent / "canary").mkdir(), None),
    ],
)
def test_faults_are_found(place, monkeypatch, attempt, alive, fault):
    monkeypatch.setattr(attacks, "SECONDS", 1)
    told = fault_of(Attack("k", CheckpointError, attempt, alive), place)
    assert (told is None) if fault is None else told.startswith(fault)
