"""A recording of a data set, wherever its facts come from: the names of files, a table, or a reader of one's own."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CHANNELS = ("speech", "song")
"""The vocal channels."""
GENDERS = ("female", "male", "other")
_FIRST_BYTES = 2**14


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One recording, or a part of one, and what is known of it.

    Attributes
    ----------
    path : the sound file.
    id : its name, unique in the data set and the same on every machine: splits, predictions and the seeds of
        augmentation go by it.
    emotion : its label, any words.
    speaker : None where it is not known.
    gender : one of `GENDERS`, or None.
    language : such as "en"; text: what is said.
    channel : one of `CHANNELS`.
    corpus : the name of the corpus.
    split : "train", "validation" or "test" by the corpus itself; None where it says nothing.
    start, end : seconds; None is the beginning or the end of the file.
    """

    path: Path
    id: str
    emotion: str
    speaker: str | None = None
    gender: str | None = None
    language: str | None = None
    text: str | None = None
    channel: str = "speech"
    corpus: str = ""
    split: str | None = None
    start: float | None = None
    end: float | None = None

    @property
    def is_cut(self) -> bool:
        """Whether it is a part of its file."""
        return self.start is not None or self.end is not None


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same_content(paths: Iterable[Path]) -> list[tuple[Path, ...]]:
    """Return the groups of two or more files that are equal byte by byte, each sorted."""
    groups = [sorted(set(paths), key=os.fspath)]
    # In three steps, because a corpus may be larger than what can be read in an hour: by size, by the first bytes of
    # those that are left, and by the whole content of those that are left then.
    for fact in (_size, _first_bytes, content_digest):
        found = defaultdict[tuple[int, int | bytes | str], list[Path]](list)
        for number, group in enumerate(groups):
            for path in group:
                found[number, fact(path)].append(path)
        groups = [group for group in found.values() if len(group) > 1]
    return sorted(map(tuple, groups))


def _size(path: Path) -> int:
    return os.stat(path).st_size  # noqa: PTH116


def _first_bytes(path: Path) -> bytes:
    """Return a digest of the beginning of a file, of sound and not of its header alone."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return hashlib.sha256(file.read(_FIRST_BYTES)).digest()
