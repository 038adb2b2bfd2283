"""Download RAVDESS (Livingstone and Russo 2018) from Zenodo, check it and unpack it.

pooch does the HTTP, the attempts and the checksum. The file that it writes to adds what pooch lacks: a bound on the
size, so that a server cannot fill the disk, and a progress bar without tqdm.
"""

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pooch
from rich import progress as rich_progress
from rich.console import Console

from ser.corpora.archive import unpack
from ser.corpora.ravdess import CHANNELS
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

    @property
    def folder(self) -> str:
        """The name of the folder that it is unpacked into."""
        return self.name.removesuffix(".zip")


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
    channels: Iterable[str] = CHANNELS,
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
    channels = tuple(channels)
    for channel in channels:
        if channel not in CHANNELS:
            raise SettingsError(f"There is no channel {channel!r} to download; {suggestion(channel, CHANNELS)}.")
    for archive in archives:
        folder = root / archive.folder
        if archive.channel not in channels:
            continue
        if folder.exists():
            log.info("%s is there already", folder)
            continue
        _download(archive, folder, url=f"{address}/{archive.name}?download=1", n_retries=n_retries)
        log.info("%s is complete", folder)


def _download(archive: Archive, folder: Path, *, url: str, n_retries: int) -> None:
    prefix = f".{folder.name}-"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent.glob(f"{prefix}*"))
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
    store = pooch.create(
        path=folder,
        base_url="",
        registry={archive.name: f"md5:{archive.md5}"},
        urls={archive.name: url},
        retry_if_failed=n_retries,
    )
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(),
        rich_progress.TransferSpeedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    hidden = not sys.stderr.isatty()
    with rich_progress.Progress(*columns, console=Console(stderr=True), disable=hidden) as progress:
        task = progress.add_task(archive.name, total=archive.size)

        def attempt(url: str, path: str, owner: pooch.Pooch) -> None:
            with Path(path).open("wb") as file:
                bounded = _BoundedFile(file, url=url, size=archive.size, progress=progress, task=task)
                pooch.HTTPDownloader(chunk_size=_CHUNK, timeout=_TIMEOUT)(url, bounded, owner)
            if bounded.n_bytes < archive.size:
                raise ValueError(f"{bounded.n_bytes} bytes came instead of {archive.size}")  # pooch tries again

        return Path(store.fetch(archive.name, downloader=attempt))


class _BoundedFile:
    """What pooch writes a download to: passes it on to `file`, shows the progress, and stops at `size` bytes."""

    def __init__(
        self, file: IO[bytes], *, url: str, size: int, progress: rich_progress.Progress, task: rich_progress.TaskID
    ) -> None:
        self.n_bytes = 0
        self._file, self._url, self._size, self._progress, self._task = file, url, size, progress, task

    def write(self, chunk: bytes) -> None:
        self.n_bytes += len(chunk)
        if self.n_bytes > self._size:
            raise DownloadError(f"{self._url} sends more than the {self._size} bytes of the archive: not trusted.")
        self._file.write(chunk)
        self._progress.update(self._task, completed=self.n_bytes)

    def flush(self) -> None:
        self._file.flush()


def _remove_abandoned(folders: Iterable[Path]) -> None:
    """Remove what killed processes left; a folder that was written to of late may be another process at work."""
    for folder in folders:
        newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
        if time.time() - newest > _ABANDONED:
            log.info("%s was left unfinished and is removed", folder)
            shutil.rmtree(folder, ignore_errors=True)
