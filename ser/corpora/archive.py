"""Unpack a zip that came from outside: nothing leaves the folder, nothing grows without bound, all of it or none."""

import shutil
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from ser.errors import DownloadError


def unpack(archive: Path, destination: Path, *, max_bytes: int, max_ratio: float) -> None:
    """Unpack a zip into the new folder `destination`, which appears only when it is complete.

    Parameters
    ----------
    archive : a zip of stored or deflated members.
    destination : must not exist yet; its parent is created if need be.
    max_bytes : how many bytes the members may hold together.
    max_ratio : how many times the archive's own size they may hold together; a member that is listed often, or that
        overlaps others, counts each time.

    Raises
    ------
    DownloadError : the zip is damaged, holds more than the bounds allow, or has a member that is encrypted, is neither
        a file nor a folder, or has a name that leads outside or occurs twice. Nothing is left behind.
    """
    if destination.exists():
        raise DownloadError(f"{destination} exists already: move it away to unpack {archive.name} there.")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=destination.parent, prefix=f".{destination.name}-") as temporary,
            zipfile.ZipFile(archive) as zipped,
        ):
            members = zipped.infolist()
            if reason := _refusal(members, max_bytes=min(max_bytes, int(max_ratio * archive.stat().st_size))):
                raise DownloadError(f"{archive} is not unpacked: {reason}. Do not trust it; download it again.")
            unfinished = Path(temporary) / destination.name
            unfinished.mkdir()
            for member in members:
                target = unfinished / member.filename
                (target if member.is_dir() else target.parent).mkdir(parents=True, exist_ok=True)
                if not member.is_dir():
                    with zipped.open(member) as source, target.open("xb") as file:
                        shutil.copyfileobj(source, file)  # zipfile reads no more of a member than the size it states
            unfinished.rename(destination)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise DownloadError(f"{archive} is damaged ({error}): delete it and download it again.") from error
    except OSError as error:
        raise DownloadError(f"{archive} could not be unpacked into {destination}: {error}") from error


def _refusal(members: Sequence[zipfile.ZipInfo], *, max_bytes: int) -> str | None:
    """Return what is wrong with members that are not plain files and folders below the destination, each once."""
    is_file: dict[tuple[str, ...], bool] = {}
    for member in members:
        name = member.orig_filename
        # A colon makes a drive or a stream of a file on Windows, which also drops dots and spaces at the end of a name.
        parts = name.removesuffix("/").split("/")
        if any(character in name for character in "\\:\0") or any(not part.rstrip(". ") for part in parts):
            return f"the name {name!r} could lead outside the folder"
        # The upper half of the attributes is the Unix mode; 0 where the zip was made without one.
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
            return f"{name!r} is a link or a device"
        if member.flag_bits & 0x1:
            return f"{name!r} is encrypted"
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return f"{name!r} is compressed in another way than stored or deflated"
        # File systems that ignore case, or how an accent is written, would write one file over the other.
        path = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        if path in is_file:
            return f"the name {name!r} occurs twice"
        is_file[path] = not member.is_dir()
    for path in is_file:
        if any(is_file.get(path[:depth]) for depth in range(1, len(path))):
            return f"{'/'.join(path)!r} lies below a file"
    if sum(member.file_size for member in members) > max_bytes:
        return f"its members hold more than {max_bytes} bytes"
    return None
