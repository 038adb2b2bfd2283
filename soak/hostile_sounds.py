"""Sound files as no program would write them: seeded, by their structure, in WAV, FLAC and OGG.

    python soak/hostile_sounds.py SEED PLACE FILE

writes the one that a failure names. Half of them keep to the format and lie in one field; the others are damaged as
well: bits flipped, cut short, spliced, zeroed. Some lies are harmless, so a part of the files is rightly accepted.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from numpy.random import Generator, default_rng

from soak.hostile_flac import FLAC_MAKERS
from soak.hostile_ogg import OGG_MAKERS
from soak.hostile_wav import WAV_MAKERS
from soak.sound_bases import pick, sound_bytes

_MAKERS = WAV_MAKERS | FLAC_MAKERS | OGG_MAKERS


@dataclass(frozen=True, kw_only=True)
class HostileSound:
    """A file: what was done to it, a suffix that fits, and its bytes."""

    kind: str
    suffix: str
    content: bytes


def hostile_sound(seed: int, place: int) -> HostileSound:
    """Return the file number `place` of those of `seed`; the same one whenever and wherever it is asked for."""
    rng = default_rng([seed, place])
    kind = pick(rng, list(_MAKERS))
    suffix, content = f".{kind[:4].strip().lower()}", _MAKERS[kind](rng)
    if rng.random() < 0.5:
        damage = pick(rng, list(_DAMAGES))
        content, kind = _DAMAGES[damage](content, rng), f"{kind}, {damage}"
    return HostileSound(kind=kind, suffix=suffix, content=content)


@cache
def _harmless(format: str) -> bytes:
    return sound_bytes(format=format)


def _flipped(content: bytes, rng: Generator) -> bytes:
    damaged = bytearray(content)
    reach = len(content) if rng.random() < 0.5 else min(len(content), 200)
    for place in rng.integers(0, max(reach, 1), size=rng.integers(1, 20)) if content else []:
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def _cut(content: bytes, rng: Generator) -> bytes:
    return content[: rng.integers(0, len(content) + 1)]


def _zeroed(content: bytes, rng: Generator) -> bytes:
    start, length = int(rng.integers(0, len(content) + 1)), int(rng.integers(1, 3_000))
    return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]


def _spliced(content: bytes, rng: Generator) -> bytes:
    """The beginning of one file and the end of another, of the same format or not."""
    other = pick(rng, (_harmless("WAV"), _harmless("FLAC"), content))
    return content[: rng.integers(0, len(content) + 1)] + other[rng.integers(0, len(other) + 1) :]


def _lengthened(content: bytes, rng: Generator) -> bytes:
    place = int(rng.integers(0, len(content) + 1))
    return content[:place] + rng.bytes(int(rng.integers(1, 2_000))) + content[place:]


_DAMAGES: dict[str, Callable[[bytes, Generator], bytes]] = {
    "bits flipped": _flipped,
    "cut": _cut,
    "zeroed": _zeroed,
    "spliced": _spliced,
    "lengthened": _lengthened,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", type=int)
    parser.add_argument("place", type=int)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    made = hostile_sound(options.seed, options.place)
    options.file.write_bytes(made.content)
    print(made.kind)
