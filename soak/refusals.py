"""Hostile checkpoints, published models, archives, servers and configurations: each refused, nothing run.

    python soak/refusals.py [--count 100] [--seed 0] [--json FILE]

Each kind must end in the one error of its door, in one short sentence, within 60 s and 1.5 GiB of memory; no payload
may have made its folder, and nothing may lie outside of the folder that the attack was given. Where a payload can be
shown to be a live one, it is. Beside the kinds, a checkpoint, a published model and an archive are cut short at
`--count` random places each.
"""

import contextlib
import io
import logging
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pooch
import torch

from ser.corpora.archive import unpack
from ser.corpora.progress import track
from ser.errors import CheckpointError, DownloadError, SerError
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MODELS
from soak.attacks import Attack
from soak.figures import Figure, conclude, parser_of
from soak.hostile_archives import MAX_BYTES, MAX_RATIO, archive_attacks, zip_of
from soak.hostile_checkpoints import checkpoint_attacks, good_content
from soak.hostile_published import published_attacks
from soak.hostile_settings import configuration_attacks

SECONDS = 60
MEBIBYTES = 1536
LONGEST = 1_500
"""Characters of a message; one that lists all settings of the trainer has 1,200."""


class TooSlow(BaseException):
    """Not an Exception: no handler of the doors may take it for damage."""


def fault_of(attack: Attack, folder: Path) -> str | None:
    """Make the attack below `folder`; return what went wrong, or None where it was refused as it should be."""
    room, canary = folder / "room", folder / "canary"
    room.mkdir()
    try:
        fault = _outcome(attack, room, canary)
        if canary.exists():
            return "something was run"
        beside = sorted(path.name for path in folder.iterdir() if path != room)
        if beside:
            return f"there is now {beside} outside"
        if fault is None and attack.alive is not None:
            fault = _liveness(attack, room, canary)
        return fault
    finally:
        _remove(folder)


def _outcome(attack: Attack, room: Path, canary: Path) -> str | None:
    """Return what other than the right refusal came."""
    old = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attack.attempt(room, canary)
    except TooSlow:
        return f"took more than {SECONDS} s"
    except SerError as refusal:
        message = str(refusal).replace(str(room), "")
        if not isinstance(refusal, attack.refused_by):
            return f"was refused by {type(refusal).__name__}, not {attack.refused_by.__name__}: {message[:200]}"
        if "\n" in message or len(message) > LONGEST:
            return f"the message does not serve: {message[:200]!r}"
        return None
    except Exception as error:  # that no other kind comes is what is measured
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    return "was accepted"


def _too_slow(*_: object) -> None:
    raise TooSlow


def _liveness(attack: Attack, room: Path, canary: Path) -> str | None:
    """Load the file as a careless program would: a payload that does nothing would show nothing."""
    with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
        attack.alive(room)
    return None if canary.exists() else "the payload is not a live one"


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def truncations(seed: int) -> dict[str, tuple[bytes, Callable[[Path], object], type[SerError]]]:
    """Return what is cut short: suffix -> whole content, its door, and the error that must come."""
    archive = zip_of([(f"{k}.wav", random.Random(seed).randbytes(3_000)) for k in range(9)])  # noqa: S311
    checkpoint = io.BytesIO()
    torch.save(good_content(), checkpoint)

    def unpacked(path: Path) -> None:
        unpack(path, path.parent / "unpacked", max_bytes=MAX_BYTES, max_ratio=MAX_RATIO)

    def published(path: Path) -> None:
        path.with_suffix(".json").write_bytes((MODELS / f"{DEFAULT_MODEL}.json").read_bytes())
        Predictor.load(path)

    weights = (MODELS / f"{DEFAULT_MODEL}.safetensors").read_bytes()
    return {
        ".ckpt": (checkpoint.getvalue(), Predictor.load, CheckpointError),
        ".safetensors": (weights, published, CheckpointError),
        ".zip": (archive, unpacked, DownloadError),
    }


def cut_attacks(count: int, seed: int) -> Iterator[Attack]:
    """Yield `count` attacks by each kind of file, cut short at random."""
    random_places = random.Random(seed)  # noqa: S311

    def attempt(folder: Path, canary: Path, *, name: str, content: bytes, door: Callable[[Path], object]) -> object:
        (folder / name).write_bytes(content)
        return door(folder / name)

    for suffix, (whole, door, refused_by) in truncations(seed).items():
        for _ in range(count):
            place = random_places.randrange(len(whole))
            given = partial(attempt, name=f"cut{suffix}", content=whole[:place], door=door)
            yield Attack(kind=f"{suffix} cut at {place}", door="cut short", refused_by=refused_by, attempt=given)


def all_attacks() -> list[Attack]:
    """Return the attacks of all kinds, each once."""
    return [*checkpoint_attacks(), *published_attacks(), *archive_attacks(), *configuration_attacks()]


def measure(count: int, *, seed: int) -> tuple[list[Figure], dict[str, Any]]:
    """Return the figures and the details: kinds by door, faults, the slowest, the peak of memory."""
    kinds, cuts = all_attacks(), list(cut_attacks(count, seed))
    assert len({(attack.door, attack.kind) for attack in kinds}) == len(kinds)
    faults: list[dict[str, str]] = []
    doors: dict[str, int] = {}
    slowest = (0.0, "")
    with tempfile.TemporaryDirectory() as name:
        for attack in track([*kinds, *cuts], total=len(kinds) + len(cuts), description="Refusals", unit="attacks"):
            started = time.perf_counter()
            if fault := fault_of(attack, Path(name)):
                faults.append({"door": attack.door, "kind": attack.kind, "fault": fault})
            doors[attack.door] = doors.get(attack.door, 0) + 1
            slowest = max(slowest, (time.perf_counter() - started, attack.kind))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    alive = sum(attack.alive is not None for attack in kinds)
    wrong = sum(fault["door"] != "cut short" for fault in faults)
    command = f"python soak/refusals.py --count {count} --seed {seed}"
    figures = [
        Figure(
            figure="Hostile checkpoints, published models, archives, servers and configurations",
            must="at least 25 kinds; all refused by their error, nothing run",
            measured=(
                f"{len(kinds)} kinds ({alive} with a payload shown to be live): {len(kinds) - wrong} refused; slowest "
                f"{slowest[0]:.1f} s, peak {peak:.0f} MiB"
            ),
            held=len(kinds) >= 25 and not wrong,
            command=command,
        ),
        Figure(
            figure="Checkpoints, published models and archives cut short at random",
            must=f"{len(cuts)}; all refused",
            measured=f"{len(cuts) - len(faults) + wrong} refused",
            held=len(faults) == wrong,
            command=command,
        ),
    ]
    return figures, {"kinds": doors, "faults": faults, "slowest": slowest[1], "peak_mib": peak}


def main() -> int:
    """Measure, print, return the exit status."""
    options = parser_of(__doc__, count=100, of="places to cut each file at").parse_args()
    pooch.get_logger().setLevel(logging.WARNING)
    resource.setrlimit(resource.RLIMIT_DATA, (MEBIBYTES * 2**20,) * 2)  # whatever would fill the memory fails instead
    figures, details = measure(options.count, seed=options.seed)
    status = conclude(figures, details, options.json)
    for fault in details["faults"]:
        print(f"fault: {fault['door']}, {fault['kind']}: {fault['fault']}")
    return status


if __name__ == "__main__":
    sys.exit(main())
