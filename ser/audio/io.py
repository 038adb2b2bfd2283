"""Reading sound: a path, bytes, file or array to a mono float32 waveform at the wanted rate, or one clear error."""

import io
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Protocol, runtime_checkable

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from ser.audio.aiff import read_aiff, read_au, read_caf
from ser.audio.array import MAX_CHANNELS, ArraySound
from ser.audio.bare import BareSound, BinaryFile, Seekable
from ser.audio.ffmpeg import decoded_by_ffmpeg
from ser.audio.formats import NAMES, START_BYTES, Foreign, foreign_kind, is_adts, is_decoded
from ser.audio.levels import Decoder, levels_for, mono_blocks
from ser.audio.wav import read_w64, read_wav
from ser.errors import AudioError, printable

MIN_SECONDS = 0.2
"""Shorter sounds hold no syllable, and fewer frames than a delta of width nine needs."""
MAX_SECONDS = 600.0
MIN_RATE, MAX_RATE = 4_000, 192_000
SILENCE_PEAK = 1e-4
"""About three steps of 16-bit sound (-80 dBFS): below it there is nothing but the converter's own noise."""
MAX_STREAM_BYTES = 2**28
"""Of what can only be read from its beginning to its end: ten minutes of stereo at 48 kHz in 32 bits are 2**27.8."""
STDIN = Path("-")
"""Stands for standard input, as in most commands; a file of that name is named by its full path."""
_PART_BYTES = 1 << 20
_GIVE = "give a path, bytes, a file opened as binary, or (samples, rate)"


@runtime_checkable
class Readable(Protocol):
    """A file that was opened as binary; it is read from where it stands to its end."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""


Source = str | Path | bytes | Readable | tuple[ArrayLike, float]
"""A sound file by its path (of a file, a pipe or a device, or `STDIN`), its content, or itself; or `(samples, rate)`,
see `ser.audio.array.ArraySound`."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A decoded recording.

    Attributes
    ----------
    waveform : float32 [samples], mono, finite, at `sample_rate` Hz, full scale 1.0.
    sample_rate : Hz, after resampling.
    duration : seconds of the recording as stored.
    peak : the largest magnitude of the waveform.
    clipped : True where more than one in a thousand stored samples are at full scale.
    beyond_full_scale : True where more than one in a thousand samples, stored as floating point, are beyond it: nothing
        is cut off, but what they are fractions of is unknown.
    """

    waveform: NDArray[np.float32]
    sample_rate: int
    duration: float
    peak: float
    clipped: bool
    beyond_full_scale: bool = False


def name_of(source: Source) -> str:
    """Return what to call a sound in messages: the path, where it is or has one."""
    path = source if isinstance(source, str | Path) else getattr(source, "name", None)
    return str(path) if isinstance(path, str | Path) else "the sound"


@dataclass(frozen=True)
class _Unreadable:
    """A source in place of a stream that was read in vain: it fails as that did, where an error can be told."""

    reason: str

    def read(self, size: int, /) -> bytes:
        raise AudioError(self.reason)


def in_memory(source: Source) -> Source:
    """Return what another process can read as well: the bytes of a stream; files by path, bytes and arrays unchanged.

    Raises nothing: what cannot be read, `read_sound` refuses later.
    """
    try:
        if not isinstance(source, Readable) and (not isinstance(source, str | Path) or not _is_stream(Path(source))):
            return source
        return _content(source, _shown(name_of(source)))
    except AudioError as error:
        return _Unreadable(str(error))
    except (OSError, ValueError) as error:
        return _Unreadable(f"{_shown(name_of(source))} cannot be read as sound ({_reason(error)}).")


def read_sound(source: Source, *, sample_rate: int, name: str | None = None) -> Sound:
    """Decode, mix to mono by the mean of the channels, and resample once (soxr HQ, as `librosa.load` does).

    WAV (with A-law, mu-law, ADPCM, GSM as well), RF64, W64, AIFF, AIFC, AU, CAF, FLAC, OGG (Vorbis, Opus) and MP3 are
    decoded here; M4A, AAC, WebM, AMR, the sound of videos and others by ffmpeg, where it is installed. A file whose
    writer did not know its length, as in a pipe, is read to its end. 16-bit whole numbers that a program saved as
    floats are brought to full scale 1.0, see `ser.audio.levels.Levels`.

    Parameters
    ----------
    source : a path, the bytes of a file, a file opened as binary, or (samples, rate), an array and Hz.
    sample_rate : Hz of the waveform returned.
    name : what to call the recording in messages; `name_of` it by default.

    Raises
    ------
    AudioError : missing, empty, not sound, damaged, shorter than 0.2 s, longer than ten minutes, silent, not finite,
        of a rate or number of channels that no microphone has, a stream of more than 256 MiB, or of a format that
        needs ffmpeg, which is not installed. The message names the recording, so that a terminal can show it.
    """
    file_name = name or name_of(source)
    name = _shown(file_name)
    try:
        with _opened(source, name, file_name) as file:
            _check_format(file.samplerate, file.channels, name)
            levels = levels_for(file)
            blocks = mono_blocks(file, levels, name=name, max_seconds=MAX_SECONDS)
            waveform = resample(blocks, file.samplerate, sample_rate)
            duration = levels.frames / file.samplerate
    # libsndfile's own error is a RuntimeError; mutated headers also raise ValueError and TypeError from the wrapper.
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise AudioError(f"{name} cannot be read as sound ({_reason(error)}).") from error
    if not levels.frames:
        raise AudioError(f"{name} holds no sound.")
    if duration < MIN_SECONDS:
        raise AudioError(f"{name} lasts {duration:.2f} s; at least {MIN_SECONDS} s are needed.")
    if levels.scale != 1:
        waveform *= levels.scale
    peak = float(max(waveform.max(), -waveform.min()))  # np.abs would copy ten minutes
    if peak < SILENCE_PEAK:
        raise AudioError(f"{name} is silent (its peak is below {SILENCE_PEAK:g} of full scale).")
    return Sound(
        waveform=waveform,
        sample_rate=sample_rate,
        duration=duration,
        peak=peak,
        clipped=levels.clipped,
        beyond_full_scale=levels.beyond_full_scale,
    )


def _shown(name: str) -> str:
    return "standard input" if name == str(STDIN) else printable(name)


def _reason(error: Exception) -> str:
    told = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return shorten(printable(told), 200).rstrip(". ") or type(error).__name__


@contextmanager
def _opened(source: Source, name: str, file_name: str) -> Iterator[Decoder]:
    if isinstance(source, tuple):
        yield ArraySound(source, name)
        return
    with _raw(source, name) as raw:
        seen = _for_decoder(raw, name)
        if isinstance(seen, Foreign):
            file_name = "voice" if file_name == str(STDIN) else file_name
            decoder = decoded_by_ffmpeg(raw, seen, name, file_name=file_name)
        else:
            decoder = soundfile.SoundFile(seen)
        with decoder as file:
            yield file


def _raw(source: str | Path | bytes | Readable, name: str) -> BinaryFile:
    if not isinstance(source, str | Path) or _is_stream(Path(source)):
        return io.BytesIO(_content(source, name))
    if Path(source).is_dir():
        raise AudioError(f"{name} is a folder, not a sound file.")
    if not Path(source).exists():
        raise AudioError(f"{name}: there is no such file.")
    return Path(source).open("rb")


def _is_stream(path: Path) -> bool:
    """Return whether a path is one of a pipe, a device or the like, which may have no end, and is read only once."""
    return path == STDIN or (path.exists() and not path.is_file() and not path.is_dir())


def _content(source: str | Path | bytes | Readable, name: str) -> bytes:
    if isinstance(source, str | Path):
        if Path(source) != STDIN:
            with Path(source).open("rb", buffering=0) as stream:
                return _content(stream, name)
        if sys.stdin is None or sys.stdin.isatty():
            raise AudioError("standard input is no file: pipe one in, such as `ser predict - < voice.wav`.")
        source = sys.stdin.buffer
    if isinstance(source, Readable):
        return _content_of_stream(source, name)
    if not isinstance(source, bytes | bytearray | memoryview):
        raise AudioError(f"{name} is given as {type(source).__name__}; {_GIVE}.")
    return bytes(source)


def _content_of_stream(stream: Readable, name: str) -> bytes:
    content = bytearray()
    while part := stream.read(_PART_BYTES):
        if not isinstance(part, bytes):
            raise AudioError(f"{name} is given as {type(stream).__name__}; {_GIVE}.")
        content += part
        if len(content) > MAX_STREAM_BYTES:
            most = MAX_STREAM_BYTES // 2**20
            raise AudioError(f"{name} has no end within {most} MiB; save the sound to a file, and give that one.")
    return bytes(content)


def resample(blocks: Iterable[NDArray[np.float32]], source_rate: int, target_rate: int) -> NDArray[np.float32]:
    """Resample blocks of float32 [samples] with soxr HQ to one float32 [ceil(samples * target_rate / source_rate)].

    The resampler carries its state over from block to block, so the result is that of one call; its length, and the
    zeros that fill it, are those of `librosa.resample`.
    """
    if source_rate == target_rate:
        blocks = list(blocks)
        return _join(blocks, length=sum(map(len, blocks)))
    stream = soxr.ResampleStream(source_rate, target_rate, num_channels=1, dtype="float32", quality="HQ")
    taken, resampled = 0, []
    for block in blocks:
        taken += len(block)
        resampled.append(stream.resample_chunk(block))
    resampled.append(stream.resample_chunk(np.empty(0, dtype=np.float32), last=True))
    return _join(resampled, length=math.ceil(taken * target_rate / source_rate))


def _join(blocks: list[NDArray[np.float32]], *, length: int) -> NDArray[np.float32]:
    """Return float32 [length], cut or with zeros at the end. Empties `blocks` meanwhile, so that no copy is held."""
    joined, place = np.zeros(length, dtype=np.float32), 0
    blocks.reverse()
    while blocks:
        block = blocks.pop()[: length - place]
        joined[place : place + len(block)] = block
        place += len(block)
    return joined


def _for_decoder(raw: BinaryFile, name: str) -> BareSound | Seekable | Foreign:
    """Return what the decoder may see of the file; raises AudioError for what it should not see at all."""
    size = raw.seek(0, io.SEEK_END)
    if not size:
        raise AudioError(f"{name} is empty.")
    raw.seek(0)
    start = raw.read(START_BYTES)
    if kind := foreign_kind(start):
        return Foreign(kind)
    if is_decoded(start):
        is_aac = _is_tagged_adts(raw, start)
        raw.seek(0)
        return Foreign("AAC") if is_aac else Seekable(raw)
    for read in (read_wav, read_w64, read_aiff, read_au, read_caf):
        raw.seek(0)
        if seen := read(raw, size=size, name=name):
            break
    else:
        raise AudioError(f"{name} cannot be read as sound: it is no sound file of a kind that is known ({NAMES}).")
    if isinstance(seen, BareSound):
        _check_format(seen.rate, seen.channels, name)
        held, claimed = seen.place.held, seen.place.claimed
        if held < claimed:
            raise AudioError(
                f"{name} is cut short: it holds {held / claimed:.0%} of the sound in its header; copy it again."
            )
    return seen


def _is_tagged_adts(raw: BinaryFile, start: bytes) -> bool:
    if not start.startswith(b"ID3") or len(start) < 10:
        return False
    seven_bits = start[6:10]  # of each byte (ID3v2.4, section 6.2)
    raw.seek(10 + sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(seven_bits)))
    return is_adts(raw.read(2))


def _check_format(rate: int, channels: int, name: str) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"{name} has a rate of {rate} Hz; {MIN_RATE} to {MAX_RATE} Hz can be read.")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{name} has {channels} channels; 1 to {MAX_CHANNELS} can be read.")
