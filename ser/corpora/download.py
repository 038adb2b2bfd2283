"""Download RAVDESS (Livingstone and Russo 2018) from Zenodo, check it and unpack it.

pooch does the HTTP, the attempts and the checksum. What it writes to adds what it lacks: a bound on the size, so that
a server cannot fill the disk, and a progress bar without tqdm.
"""

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pooch
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from ser.corpora.archive import unpack
from ser.corpora.manifest import CHANNELS
from ser.errors import DownloadError, SettingsError
from ser.features.validation import suggestion

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Archive:
    """A zip of the publisher: the vocal channel it holds, its name, its size in bytes and its MD5 in hexadecimal."""

    channel: str
    name: str
    size: int
    md5: str


ADDRESS = "https://zenodo.org/records/1188976/files"
ARCHIVES = (
    Archive("speech", "Audio_Speech_Actors_01-24.zip", 208_468_073, "bc696df654c87fed845eb13823edef8a"),
    Archive("song", "Audio_Song_Actors_01-24.zip", 225_505_317, "5411230427d67a21e18aa4d466e6d1b9"),
)
_MAX_UNPACKED_BYTES = 10**9  # each archive holds about half of that
_MAX_RATIO = 20.0  # sound hardly compresses
_CHUNK = 1 << 16
_TIMEOUT = 30  # seconds without a byte
_ABANDONED = 3600  # seconds after which an unfinished folder belongs to a process that was killed


def download_corpus(
    root: Path,
    *,
    channels: Collection[str] = CHANNELS,
    archives: Iterable[Archive] = ARCHIVES,
    address: str = ADDRESS,
    n_retries: int = 4,
) -> None:
    """Fetch the archives whose folders are not in `root` yet, and unpack each into its folder.

    A folder appears only when it is complete, and is kept when it exists. After a failure or a kill the
    archive is fetched anew.

    Parameters
    ----------
    root : holds `Audio_Speech_Actors_01-24` and `Audio_Song_Actors_01-24` afterwards; created if need be.
    channels : "speech", "song" or both.
    archives : the archives of the publisher.
    address : their folder on the server, without the last slash.
    n_retries : how often a failed download is tried again, after 1, 2, 3, ... seconds.

    Raises
    ------
    DownloadError : the address cannot be reached, or what it sends is not the archive.
    SettingsError : a channel that does not exist.
    """
    for channel in channels:
        if channel not in CHANNELS:
            raise SettingsError(f"There is no channel {channel!r} to download; {suggestion(channel, CHANNELS)}.")
    for archive in archives:
        folder = root / archive.name.removesuffix(".zip")
        if archive.channel in channels and folder.exists():
            log.info("%s is there already", folder)
        elif archive.channel in channels:
            _download(archive, folder, url=f"{address}/{archive.name}?download=1", n_retries=n_retries)
            log.info("%s is complete", folder)


def _download(archive: Archive, folder: Path, *, url: str, n_retries: int) -> None:
    prefix = f".{folder.name}-"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for leftover in folder.parent.glob(f"{prefix}*"):  # of a killed process, or of another that is at work
            newest = max(path.stat().st_mtime for path in (leftover, *leftover.rglob("*")))
            if time.time() - newest > _ABANDONED:
                log.info("%s was left unfinished and is removed", leftover)
                shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as temporary:
            zipped = _fetch(archive, Path(temporary), url=url, n_retries=n_retries)
            unpack(zipped, folder, max_bytes=_MAX_UNPACKED_BYTES, max_ratio=_MAX_RATIO)
    except (OSError, ValueError) as error:  # what pooch raises for the network (an OSError) and for the checksum
        raise DownloadError(
            f"{url} could not be downloaded ({error}). Check the network and the disk, or download the file by hand, "
            f"unpack it into {folder}, and set data.root or RAVDESS_ROOT to {folder.parent}."
        ) from error


def _fetch(archive: Archive, folder: Path, *, url: str, n_retries: int) -> Path:
    """Download `archive` into `folder` and return its path; it bears its name there only when its checksum is right."""
    registry, urls = {archive.name: f"md5:{archive.md5}"}, {archive.name: url}
    store = pooch.create(path=folder, base_url="", registry=registry, urls=urls, retry_if_failed=n_retries)
    size = archive.size
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(archive.name, total=size)

        def attempt(url: str, path: str, owner: pooch.Pooch) -> None:
            with Path(path).open("wb") as file:

                def write(chunk: bytes) -> None:
                    if file.tell() + len(chunk) > size:
                        raise DownloadError(f"{url} sends more than the {size} bytes of the archive: not trusted.")
                    file.write(chunk)
                    progress.update(task, completed=file.tell())

                bounded = SimpleNamespace(write=write, flush=file.flush)
                pooch.HTTPDownloader(chunk_size=_CHUNK, timeout=_TIMEOUT)(url, bounded, owner)
                if file.tell() < size:
                    raise ValueError(f"{file.tell()} bytes came instead of {size}")  # pooch tries again

        return Path(store.fetch(archive.name, downloader=attempt))
