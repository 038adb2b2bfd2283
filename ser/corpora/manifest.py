"""A recording of a data set, wherever its facts come from: the names of files, a table, or a reader of one's own."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CHANNELS = ("speech", "song")
"""The vocal channels."""
GENDERS = ("female", "male", "other")


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
    sizes = {path: path.stat().st_size for path in sorted(set(paths))}
    n_files = Counter(sizes.values())
    by_digest: defaultdict[str, list[Path]] = defaultdict(list)
    for path, size in sizes.items():
        if n_files[size] > 1:  # else no file can be equal to it, and it need not be read
            by_digest[content_digest(path)].append(path)
    return sorted(tuple(group) for group in by_digest.values() if len(group) > 1)
