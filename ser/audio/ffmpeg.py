"""Sound that libsndfile does not decode, decoded by ffmpeg where it is installed: a child process within bounds."""

import ctypes
import io
import os
import selectors
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from textwrap import shorten

import numpy as np
from numpy.typing import NDArray

from ser.audio.bare import FLOAT, BinaryFile
from ser.audio.formats import Foreign
from ser.errors import AudioError, printable

MAX_WALL_SECONDS = 60
"""Ten minutes of a film take two seconds."""
_MAX_CPU_SECONDS = 60
_MAX_MEMORY = 2**30
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,amr,asf,avi,flv,mpeg,mpegts,ape,wv,tta,ac3,eac3,ogg,voc,nistsphere,"
    "wav,aiff,caf"
)
"""Containers of sound and video alone: playlists name further files, and pictures and subtitles are no sound."""
_CHUNK = 1 << 16
_LAST_WORDS = 2_000
_PR_SET_PDEATHSIG = 1
_AU_HEADER = struct.Struct(">4s5I")


class FfmpegSound:
    """What ffmpeg decodes, in the place of a `soundfile.SoundFile`.

    Attributes
    ----------
    samplerate : Hz.
    channels : 1 or more.
    subtype : of what the file stores; none that has a full scale.
    """

    subtype = ""

    def __init__(self, process: "subprocess.Popen[bytes]", selector: selectors.BaseSelector, name: str) -> None:
        """Read the header of what `process` writes, with an empty selector of the caller's.

        Raises
        ------
        AudioError : it wrote no sound.
        """
        assert process.stdout is not None
        assert process.stderr is not None
        self._process, self._name = process, name
        self._deadline = time.monotonic() + MAX_WALL_SECONDS
        self._read, self._words = bytearray(), bytearray()
        self._selector = selector
        self._selector.register(process.stdout, selectors.EVENT_READ, self._read)
        self._selector.register(process.stderr, selectors.EVENT_READ, self._words)
        header = self._take(_AU_HEADER.size)
        if len(header) < _AU_HEADER.size:
            self._end()
            raise AudioError(f"{name} holds no sound.")
        magic, begins, _, encoding, self.samplerate, self.channels = _AU_HEADER.unpack(header)
        if magic != b".snd" or encoding != FLOAT or not _AU_HEADER.size <= begins <= _CHUNK:
            raise AudioError(f"{name} cannot be read as sound (ffmpeg answers with something else than was asked for).")
        self._take(begins - _AU_HEADER.size)

    def read(self, frames: int, *, dtype: str, always_2d: bool) -> NDArray[np.float32]:
        """Return the next samples, at most `frames`, as float32 [frames, channels] of full scale 1.0.

        Raises
        ------
        AudioError : ffmpeg failed, or took too long.
        """
        assert dtype == "float32"
        assert always_2d
        taken = self._take(frames * self.channels * 4)
        if not taken:
            self._end()
        whole = len(taken) // (4 * self.channels) * 4 * self.channels
        return np.frombuffer(taken[:whole], dtype=">f4").astype(np.float32).reshape(-1, self.channels)

    def _take(self, n_bytes: int) -> bytes:
        """Return the next bytes of the output, fewer at its end; drain the other pipe meanwhile."""
        while len(self._read) < n_bytes and self._selector.get_map():
            ready = self._selector.select(max(self._deadline - time.monotonic(), 0))
            if not ready or time.monotonic() > self._deadline:
                raise AudioError(
                    f"{self._name} was not decoded by ffmpeg within {MAX_WALL_SECONDS} s; cut or convert it."
                )
            for key, _ in ready:
                part = os.read(key.fd, _CHUNK)
                key.data.extend(part)
                if not part:
                    self._selector.unregister(key.fileobj)
            del self._words[:-_LAST_WORDS]
        taken = bytes(self._read[:n_bytes])
        del self._read[:n_bytes]
        return taken

    def _end(self) -> None:
        """Wait for the end of the process; raise AudioError where it failed."""
        try:
            status = self._process.wait(max(self._deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            raise AudioError(
                f"{self._name} was not decoded by ffmpeg within {MAX_WALL_SECONDS} s; cut or convert it."
            ) from None
        if not status:
            return
        words = self._words.decode(errors="replace").strip().splitlines()
        if any("matches no streams" in line for line in words):
            raise AudioError(f"{self._name} holds no sound, though it may hold pictures.")
        reason = words[-1].rpartition("] ")[2].rpartition("/dev/fd/")[2] if words else f"exit status {status}"
        raise AudioError(
            f"{self._name} cannot be read as sound (ffmpeg: {shorten(printable(reason), 200).rstrip('. ')})."
        )


@contextmanager
def decoded_by_ffmpeg(file: BinaryFile, foreign: Foreign, name: str, *, file_name: str) -> Iterator[FfmpegSound]:
    """Give the sound of a file, from its beginning, to the body; ffmpeg is ended after it, or when this process ends.

    The child reads that file alone, through no network, within 60 s and 1 GiB, and writes to no file. Messages call it
    `name`; `file_name` is unchanged, for the command that converts it.

    Raises
    ------
    AudioError : ffmpeg is not installed, or does not know the file, or is not done in time.
    """
    ffmpeg = shutil.which("ffmpeg") if os.name == "posix" else None  # the bounds are those of POSIX
    if ffmpeg is None:
        raise AudioError(
            f"{name} is {foreign.kind}, which ffmpeg decodes, but ffmpeg is not installed: install it, or convert the "
            f"file where it is: `{conversion(file_name)}`."
        )
    with _descriptor(file) as descriptor:
        process = subprocess.Popen(  # noqa: S603 - what is run is ffmpeg alone
            [ffmpeg, *_arguments(descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[descriptor],
            env={key: value for key, value in os.environ.items() if key != "FFREPORT"},
            preexec_fn=_bounds(),
        )
    with process, selectors.DefaultSelector() as selector:
        try:
            yield FfmpegSound(process, selector, name)
        finally:
            process.kill()


def _arguments(descriptor: int) -> list[str]:
    no_pictures = ["-vn", "-sn", "-dn"]
    input_ = ["-protocol_whitelist", "file,pipe", "-format_whitelist", _DEMUXERS, "-threads", "1", *no_pictures]
    output = ["-map", "0:a:0", *no_pictures, "-map_metadata", "-1", "-t", "601", "-c:a", "pcm_f32be", "-f", "au"]
    return [
        "-nostdin",
        "-hide_banner",
        "-loglevel",
        "error",
        *input_,
        "-i",
        f"file:/dev/fd/{descriptor}",
        *output,
        "pipe:1",
    ]


@contextmanager
def _descriptor(file: BinaryFile) -> Iterator[int]:
    """Give the number of an open file of that content: most such formats are read from several places."""
    if isinstance(file, io.BytesIO):
        in_memory = os.fdopen(os.memfd_create("sound"), "w+b") if hasattr(os, "memfd_create") else None
        with in_memory or tempfile.TemporaryFile() as kept:
            kept.write(file.getbuffer())
            kept.flush()
            os.lseek(kept.fileno(), 0, os.SEEK_SET)
            yield kept.fileno()
    else:
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        yield file.fileno()


def _bounds() -> Callable[[], None]:
    """Return what the child does before it becomes ffmpeg: nothing that could wait for a lock of another thread."""
    import resource  # which Windows lacks

    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    limits = {
        resource.RLIMIT_CPU: _MAX_CPU_SECONDS,
        resource.RLIMIT_DATA: _MAX_MEMORY,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }

    def within_bounds() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it ended before the call
                os._exit(1)
        for limit, most in limits.items():
            _, hard = resource.getrlimit(limit)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(limit, (most, most))

    return within_bounds


def conversion(name: str) -> str:
    """Return the command that converts a file to WAV, quoted for a shell.

    >>> print(conversion("my voice.m4a"), conversion("a$b.wav"), sep="; ")
    ffmpeg -i "my voice.m4a" "my voice.wav"; ffmpeg -i 'a$b.wav' 'a$b-converted.wav'
    """
    path = PurePath(name if PurePath(name).name else "sound")
    target = path.with_suffix(".wav") if path.suffix.lower() != ".wav" else path.with_stem(f"{path.stem}-converted")
    return f"ffmpeg -i {_quoted(str(path))} {_quoted(str(target))}"


def _quoted(path: str) -> str:
    path = f"./{path}" if path.startswith("-") else path
    shown = printable(path)
    if shown != path:
        return "$'" + shown.replace("'", "\\'") + "'"  # of bash and zsh: their escapes are those of `printable`
    return shlex.quote(path) if set(path) & set('"$`\\!') else f'"{path}"'
