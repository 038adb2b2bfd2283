"""The sound files below folders, and what lies there and is none of them."""

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ser.audio.formats import SUFFIXES
from ser.audio.io import STDIN
from ser.errors import AudioError, printable

_NO_FILES = {
    stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a disk",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FolderContent:
    """What a folder and the folders below it hold. Hidden files and folders, which begin with a dot, do not count.

    Attributes
    ----------
    files : the sound files, by their suffix, sorted.
    suffixes : suffix in small letters ("" where there is none) -> number of files that are left out for it.
    unread : what else is left out -> what it is: a folder that cannot be opened, a link to a folder or to nothing, a
        pipe, a socket, a device.
    """

    files: list[Path] = field(default_factory=list)
    suffixes: Counter[str] = field(default_factory=Counter)
    unread: dict[Path, str] = field(default_factory=dict)

    def remarks(self, folder: Path) -> list[str]:
        """Return what is left out in sentences: at most one for all suffixes, and one for each kind of `unread`."""
        counts = [f"{count} {suffix or 'without suffix'}" for suffix, count in self.suffixes.most_common()]
        remarks = [f"{printable(str(folder))}: left out: {printable(', '.join(counts))}."] if counts else []
        for kind in sorted(set(self.unread.values())):
            first, *others = sorted(path for path, what in self.unread.items() if what == kind)
            more = f" and {len(others)} more: left out, each" if others else ": left out,"
            remarks.append(f"{printable(str(first))}{more} {kind}.")
        return remarks


def search_folder(folder: Path) -> FolderContent:
    """Look through a folder and those below it. Links to files are followed, links to folders are not: they may lead
    in a circle.

    Raises
    ------
    AudioError : the folder itself cannot be opened.
    """
    content = FolderContent()
    waiting = [folder]
    while waiting:
        opened = waiting.pop()
        try:
            with os.scandir(opened) as listed:
                entries = [Path(opened, entry.name) for entry in listed if not entry.name.startswith(".")]
        except OSError as error:
            if opened == folder:
                raise AudioError(f"{printable(str(folder))} cannot be opened ({error.strerror}).") from error
            content.unread[opened] = f"a folder that cannot be opened ({error.strerror})"
            continue
        for path in entries:
            if _is_folder_below(path, content):
                waiting.append(path)
    content.files.sort()
    return content


def _is_folder_below(path: Path, content: FolderContent) -> bool:
    """Add what is no folder to `content`."""
    is_link = path.is_symlink()
    try:
        mode = path.stat().st_mode
    except OSError as error:  # a link in a circle has its own error
        content.unread[path] = "a link to nothing" if is_link else f"a path that cannot be read ({error.strerror})"
        return False
    if stat.S_ISDIR(mode):
        if is_link:
            content.unread[path] = "a link to a folder (give that folder itself)"
        return not is_link
    if not stat.S_ISREG(mode):
        content.unread[path] = _NO_FILES.get(stat.S_IFMT(mode), "no file")
    elif path.suffix.lower() in SUFFIXES:
        content.files.append(path)
    else:
        content.suffixes[path.suffix.lower()] += 1
    return False


def find_sound_files(folder: Path) -> list[Path]:
    """Return the sound files below `folder`, sorted, but none that is hidden or in a hidden folder (macOS's `._*`)."""
    return search_folder(folder).files


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """What paths stand for.

    Attributes
    ----------
    files : files, pipes, devices and `STDIN` as given, and the sound files of the folders; each once, in order.
    remarks : what the folders hold and is left out, in sentences for a person; mostly none.
    """

    files: list[Path]
    remarks: list[str]


def expand_folders(paths: Iterable[Path]) -> Expanded:
    """Replace every folder in `paths` by the sound files below it.

    Raises
    ------
    AudioError : a path that does not exist or cannot be read from, or a folder without a sound file.
    """
    files: list[Path] = []
    remarks: list[str] = []
    for path in paths:
        if path == STDIN or not _is_folder(path):
            files.append(path)
            continue
        content = search_folder(path)
        left_out = content.remarks(path)
        if not content.files:
            nothing = f"{printable(str(path))} holds no sound file ({', '.join(SUFFIXES)})."
            raise AudioError(" ".join([nothing, *left_out]))
        files += content.files
        remarks += left_out
    return Expanded(files=list(dict.fromkeys(files)), remarks=list(dict.fromkeys(remarks)))


def _is_folder(path: Path) -> bool:
    name = printable(str(path))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        is_link = path.is_symlink()
        missing = (
            f" is a link to {printable(str(path.readlink()))}, which is not there"
            if is_link
            else (": there is no such file or folder")
        )
        raise AudioError(f"{name}{missing}.") from error
    except (OSError, ValueError) as error:  # ValueError: of a name with a zero byte
        raise AudioError(f"{name}: {getattr(error, 'strerror', None) or error}.") from error
    if stat.S_ISSOCK(mode) or stat.S_ISBLK(mode):
        raise AudioError(f"{name} is {_NO_FILES[stat.S_IFMT(mode)]}; give a sound file, a folder or a pipe.")
    return stat.S_ISDIR(mode)
