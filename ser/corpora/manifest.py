"""The recordings of a corpus on disk, in any layout that people have it in, and where the corpus is."""

import hashlib
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ser.audio.folder import find_sound_files
from ser.corpora.ravdess import RecordingName, parse_stem
from ser.errors import CorpusError

log = logging.getLogger(__name__)

ROOT_VARIABLE = "RAVDESS_ROOT"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording on disk and the fields of its name."""

    path: Path
    name: RecordingName

    @property
    def stem(self) -> str:
        return self.name.stem


@dataclass(frozen=True, kw_only=True)
class FoundFiles:
    """Every sound file below a root.

    Attributes
    ----------
    recordings : one for each name, sorted by name, so in the same order on every machine.
    doubled : further files that bear the name of one of `recordings` (Kaggle's copy holds every file twice).
    foreign : sound files whose names are not RAVDESS names.
    """

    recordings: list[Recording]
    doubled: list[Path]
    foreign: list[Path]


def find_files(root: Path) -> FoundFiles:
    """Look through `root`: the publisher's layout, a doubled tree, a flat folder; WAV and FLAC.

    Where a name occurs twice, the file that lies least deep is taken.

    Raises
    ------
    CorpusError : `root` is not a folder.
    """
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder; set data.root or {ROOT_VARIABLE} to the folder that holds RAVDESS.")
    found = FoundFiles(recordings=[], doubled=[], foreign=[])
    for path in sorted(find_sound_files(root), key=lambda path: (path.stem, len(path.parts), path)):
        name = parse_stem(path.stem)
        if name is None:
            found.foreign.append(path)
        elif found.recordings and found.recordings[-1].name == name:
            found.doubled.append(path)
        else:
            found.recordings.append(Recording(path=path, name=name))
    return found


def find_recordings(root: Path) -> list[Recording]:
    """Return the recordings below `root`, sorted by name; log which files are left out.

    Raises
    ------
    CorpusError : `root` is not a folder, or holds no file with a RAVDESS name.
    """
    found = find_files(root)
    if not found.recordings:
        raise CorpusError(
            f"{root} holds no recording with a RAVDESS name (such as 03-01-06-01-02-01-12.wav); "
            f"{len(found.foreign)} sound files have other names."
        )
    if found.doubled:
        log.info("%s: %d doubled files are left out, such as %s", root, len(found.doubled), found.doubled[0])
    if found.foreign:
        n_foreign, first = len(found.foreign), found.foreign[0]
        log.warning("%s: %d files without a RAVDESS name are left out, such as %s", root, n_foreign, first)
    return found.recordings


def corpus_root(configured: str | None, *, default: Path) -> tuple[Path, bool]:
    """Return the folder of the corpus (`configured`, else RAVDESS_ROOT, else `default`), and whether it was named."""
    named = configured or os.environ.get(ROOT_VARIABLE)
    return (Path(named).expanduser(), True) if named else (default, False)


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same_content(paths: Iterable[Path]) -> list[tuple[Path, ...]]:
    """Return the groups of two or more files that are equal byte by byte, each sorted."""
    sizes = {path: path.stat().st_size for path in sorted(paths)}
    n_files = Counter(sizes.values())
    by_digest: defaultdict[str, list[Path]] = defaultdict(list)
    for path, size in sizes.items():
        if n_files[size] > 1:  # else no file can be equal to it, and it need not be read
            by_digest[content_digest(path)].append(path)
    return sorted(tuple(group) for group in by_digest.values() if len(group) > 1)
