"""Reading sound: a path, bytes, file or array to a mono float32 waveform at the wanted rate, or one clear error."""

import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from ser.audio.array import MAX_CHANNELS, ArraySound
from ser.audio.wav import BareWav, BinaryFile, read_wav
from ser.errors import AudioError

MIN_SECONDS = 0.2
"""Shorter sounds hold no syllable, and fewer frames than a delta of width nine needs."""
MAX_SECONDS = 600.0
MIN_RATE, MAX_RATE = 4_000, 192_000
SILENCE_PEAK = 1e-4
"""About three steps of 16-bit sound (-80 dBFS): below it there is nothing but the converter's own noise."""
MAX_PEAK = 2.0**31
"""What 32-bit whole numbers saved as floats reach; the powers of much larger values overflow in the features."""
_SIGNATURES = (b"fLaC", b"OggS", b"ID3")
"""How FLAC, OGG and tagged MP3 begin. libsndfile knows twenty formats more, with headers of their own to lie in."""
_FULL_SCALE = 0.999
_CLIPPED_FRACTION = 1e-3
_BLOCK_FRAMES = 1 << 17


@runtime_checkable
class Readable(Protocol):
    """A file that was opened as binary; it is read from where it stands to its end."""

    def read(self) -> bytes:
        """Return the bytes that are left."""


Source = str | Path | bytes | Readable | tuple[ArrayLike, float]
"""A sound file by its path, its content, or itself; or `(samples, rate)`, see `ser.audio.array.ArraySound`."""


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
    """

    waveform: NDArray[np.float32]
    sample_rate: int
    duration: float
    peak: float
    clipped: bool


def name_of(source: Source) -> str:
    """Return what to call a sound in messages: the path, where it is or has one."""
    path = source if isinstance(source, str | Path) else getattr(source, "name", None)
    return str(path) if isinstance(path, str | Path) else "the sound"


def read_sound(source: Source, *, sample_rate: int, name: str | None = None) -> Sound:
    """Decode, mix to mono by the mean of the channels, and resample once (soxr HQ, as `librosa.load` does).

    Parameters
    ----------
    source : a path, the bytes of a file, a file opened as binary, in a format that libsndfile reads (WAV, FLAC, OGG,
        MP3); or (samples, rate), an array and Hz.
    sample_rate : Hz of the waveform returned.
    name : what to call the recording in messages; `name_of` it by default.

    Raises
    ------
    AudioError : missing, empty, not sound, damaged, shorter than 0.2 s, longer than ten minutes, silent, not finite,
        or of a rate or number of channels that no microphone has. The message names the recording.
    """
    name = name or name_of(source)
    try:
        with _opened(source, name) as file:
            _check_format(file.samplerate, file.channels, name)
            tally = _Tally()
            waveform = resample(_mono_blocks(file, tally, name), file.samplerate, sample_rate)
            duration = tally.frames / file.samplerate
            clipped = tally.clipped > _CLIPPED_FRACTION * (tally.frames * file.channels)
    # libsndfile's own error is a RuntimeError; mutated headers also raise ValueError and TypeError from the wrapper.
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        reason = str(getattr(error, "error_string", error)).rstrip(". ") or type(error).__name__
        raise AudioError(f"{name} cannot be read as sound ({reason}); WAV, FLAC, OGG and MP3 can.") from error
    if not tally.frames:
        raise AudioError(f"{name} holds no sound.")
    if duration < MIN_SECONDS:
        raise AudioError(f"{name} lasts {duration:.2f} s; at least {MIN_SECONDS} s are needed.")
    peak = float(max(waveform.max(), -waveform.min()))  # np.abs would copy ten minutes
    if peak < SILENCE_PEAK:
        raise AudioError(f"{name} is silent (its peak is below {SILENCE_PEAK:g} of full scale).")
    return Sound(waveform=waveform, sample_rate=sample_rate, duration=duration, peak=peak, clipped=clipped)


@contextmanager
def _opened(source: Source, name: str) -> "Iterator[soundfile.SoundFile | ArraySound]":
    if isinstance(source, tuple):
        yield ArraySound(source, name)
        return
    if isinstance(source, str | Path) and not Path(source).is_file():
        raise AudioError(f"{name}: there is no such file.")
    with (
        Path(source).open("rb") if isinstance(source, str | Path) else io.BytesIO(_content(source, name)) as raw,
        soundfile.SoundFile(_for_decoder(raw, name)) as file,
    ):
        yield file


def _content(source: bytes | Readable, name: str) -> bytes:
    content = source.read() if isinstance(source, Readable) else source
    if not isinstance(content, bytes | bytearray | memoryview):
        given = f"{name} is given as {type(source).__name__}"
        raise AudioError(f"{given}; give a path, bytes, a file opened as binary, or (samples, rate).")
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


class _Seekable:
    """A file for libsndfile, which calls back and takes no exception: a seek that fails leaves the place."""

    def __init__(self, file: BinaryFile) -> None:
        self.readinto, self.tell, self._seek = file.readinto, file.tell, file.seek

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError):  # to before the beginning, by a damaged length
            return self.tell()


def _for_decoder(raw: BinaryFile, name: str) -> BareWav | _Seekable:
    """Return what the decoder may see of the file; raises AudioError for what it should not see at all."""
    size = raw.seek(0, io.SEEK_END)
    if not size:
        raise AudioError(f"{name} is empty.")
    raw.seek(0)
    wav = read_wav(raw, size=size, name=name)
    if wav is None:
        raw.seek(0)
        start = raw.read(4)
        # A frame of MPEG audio begins with eleven ones (ISO 11172-3).
        if not start.startswith(_SIGNATURES) and not (len(start) >= 2 and start[0] == 0xFF and start[1] >= 0xE0):
            raise AudioError(f"{name} cannot be read as sound: it is neither WAV, FLAC, OGG nor MP3.")
        raw.seek(0)
        return _Seekable(raw)
    _check_format(wav.rate, wav.channels, name)
    if wav.held_bytes < wav.claimed_bytes:
        fraction = wav.held_bytes / wav.claimed_bytes
        raise AudioError(f"{name} is cut short: it holds {fraction:.0%} of the sound in its header; copy it again.")
    return wav


def _check_format(rate: int, channels: int, name: str) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"{name} has a rate of {rate} Hz; {MIN_RATE} to {MAX_RATE} Hz can be read.")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{name} has {channels} channels; 1 to {MAX_CHANNELS} can be read.")


@dataclass
class _Tally:
    """What went through `_mono_blocks`: frames, and samples of all channels at full scale."""

    frames: int = 0
    clipped: int = 0


def _mono_blocks(file: "soundfile.SoundFile | ArraySound", tally: _Tally, name: str) -> Iterator[NDArray[np.float32]]:
    """Yield the mean of the channels, float32 [samples], a block at a time.

    A header may claim any length, and ten minutes in eight channels at 192 kHz would be 3.7 GB.
    """
    limit = int(MAX_SECONDS * file.samplerate)
    while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        tally.frames += len(block)
        if tally.frames > limit:
            raise AudioError(f"{name} lasts longer than {MAX_SECONDS:.0f} s; cut it into shorter recordings.")
        if not np.isfinite(block).all():
            raise AudioError(f"{name} holds values that are not numbers (NaN or infinity); export it again.")
        magnitude = np.abs(block)
        if (peak := magnitude.max()) > MAX_PEAK:
            raise AudioError(f"{name} reaches {peak:.0e} times full scale; export it again.")
        tally.clipped += int(np.count_nonzero(magnitude >= _FULL_SCALE))
        yield block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else block[:, 0]
