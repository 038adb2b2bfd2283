"""Unpack a zip that came from outside: nothing leaves the folder, nothing grows without bound, all of it or none."""

import stat
import tempfile
import unicodedata
import zipfile
import zlib
from pathlib import Path
from typing import IO

from ser.errors import DownloadError

_CHUNK = 1 << 20
_ENCRYPTED = 0x1


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
            unfinished = Path(temporary) / destination.name
            unfinished.mkdir()
            _unpack_members(zipped, unfinished, max_bytes=min(max_bytes, int(max_ratio * archive.stat().st_size)))
            unfinished.rename(destination)
    except _Refused as refusal:
        raise DownloadError(f"{archive} is not unpacked: {refusal}. Do not trust it; download it again.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise DownloadError(f"{archive} is damaged ({error}): delete it and download it again.") from error
    except OSError as error:
        raise DownloadError(f"{archive} could not be unpacked into {destination}: {error}") from error


class _Refused(Exception):  # noqa: N818 - the reason why an archive is refused; it never leaves this file
    pass


def _unpack_members(zipped: zipfile.ZipFile, folder: Path, *, max_bytes: int) -> None:
    members = zipped.infolist()
    _check_names(members)
    if sum(member.file_size for member in members) > max_bytes:
        raise _Refused(f"its members hold more than {max_bytes} bytes")
    left = max_bytes
    for member in members:
        target = folder / member.filename
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipped.open(member) as source, target.open("xb") as file:
            left -= _copy(source, file, max_bytes=left)


def _copy(source: IO[bytes], target: IO[bytes], *, max_bytes: int) -> int:
    """Copy `source` to its end and return its size in bytes; the sizes that an archive states may be wrong."""
    n_bytes = 0
    while chunk := source.read(_CHUNK):
        n_bytes += len(chunk)
        if n_bytes > max_bytes:
            raise _Refused("its members hold more bytes than it says and than is allowed")
        target.write(chunk)
    return n_bytes


def _check_names(members: list[zipfile.ZipInfo]) -> None:
    """Refuse members that are not plain files and folders below the destination, each with a name of its own."""
    seen, files = set(), set()
    for member in members:
        name = member.orig_filename
        # A colon makes a drive or a stream of a file on Windows, which also drops dots and spaces at the end of a name.
        parts = name.removesuffix("/").split("/")
        if any(character in name for character in "\\:\0") or any(not part.rstrip(". ") for part in parts):
            raise _Refused(f"the name {name!r} could lead outside the folder")
        # The upper half of the attributes is the Unix mode; 0 where the zip was made without one.
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
            raise _Refused(f"{name!r} is a link or a device")
        if member.flag_bits & _ENCRYPTED:
            raise _Refused(f"{name!r} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Refused(f"{name!r} is compressed in another way than stored or deflated")
        # File systems that ignore case, or how an accent is written, would write one file over the other.
        path = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        if path in seen:
            raise _Refused(f"the name {name!r} occurs twice")
        seen.add(path)
        if not member.is_dir():
            files.add(path)
    for path in seen:
        if any(path[:depth] in files for depth in range(1, len(path))):
            raise _Refused(f"{'/'.join(path)!r} lies below a file")
