"""What is read once, from its beginning to its end: pipes, devices, standard input, open files."""

import io
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio import io as audio_io
from ser.audio.io import in_memory, read_sound
from ser.errors import AudioError

RATE = 22_050


class Endless(io.RawIOBase):
    """A file without an end, that counts what was taken of it."""

    def __init__(self):
        self.n_bytes = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        self.n_bytes += len(buffer)
        return len(buffer)


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(audio_io, "MAX_STREAM_BYTES", 2**21)


@pytest.fixture
def fifo(tmp_path):
    """Make a named pipe, and write to it from another thread; a reader that leaves early is no error."""
    threads = []

    def write(path, content):
        try:
            with path.open("wb") as pipe:
                pipe.write(content)
        except BrokenPipeError:
            pass

    def make(content, name="pipe.wav"):
        path = tmp_path / name
        os.mkfifo(path)
        threads.append(threading.Thread(target=write, args=(path, content)))
        threads[-1].start()
        return path

    yield make
    for thread in threads:
        thread.join(20)


@pytest.mark.timeout(60)
def test_a_pipe_is_read_as_the_file_that_goes_through_it(voice_file, fifo):
    expected = read_sound(voice_file, sample_rate=RATE)
    content = voice_file.read_bytes()
    streamed = content[:40] + b"\xff" * 4 + content[44:]
    for number, written in enumerate((content, streamed)):
        sound = read_sound(fifo(written, f"{number}.wav"), sample_rate=RATE)
        np.testing.assert_array_equal(sound.waveform, expected.waveform)
    from_memory = in_memory(fifo(content, "once.wav"))
    for _ in range(2):
        sound = read_sound(pickle.loads(pickle.dumps(from_memory)), sample_rate=RATE)  # noqa: S301
        np.testing.assert_array_equal(sound.waveform, expected.waveform)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", ["-", "/dev/stdin", "/proc/self/fd/0", "/dev/fd/0"])
@pytest.mark.parametrize("piped", [True, False])
def test_standard_input_is_read_from_a_pipe_and_from_a_file(voice_file, way, piped):
    script = f"from ser.audio.io import read_sound; print(read_sound({way!r}, sample_rate=22_050).duration)"
    with voice_file.open("rb") as file:
        given = {"input": voice_file.read_bytes()} if piped else {"stdin": file}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, **given)
    assert (done.stdout, done.stderr) == (f"{soundfile.info(voice_file).duration}\n".encode(), b"")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("given", ["device", "pipe", "file", "buffered file"])
def test_what_has_no_end_is_one_sentence(small_limit, fifo, given):
    endless = Endless()
    source = {
        "device": Path("/dev/zero"),
        "pipe": fifo(bytes(2**22)) if given == "pipe" else None,
        "file": endless,
        "buffered file": io.BufferedReader(endless),
    }[given]
    for attempt in (in_memory, lambda source: source):
        if given == "pipe" and attempt is not in_memory:
            continue  # it is read only once
        with pytest.raises(
            AudioError, match=r"has no end within 2 MiB; save the sound to a file, and give that one\.$"
        ):
            read_sound(attempt(source), sample_rate=RATE)
    assert endless.n_bytes <= 2 * (2**21 + 2**20) + 2**16


def test_a_sentence_names_the_stream(small_limit, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", None)
    for source in ("-", Path("-")):
        with pytest.raises(AudioError, match=r"^standard input is no file: pipe one in, such as `ser predict - <"):
            read_sound(source, sample_rate=RATE, name="-")
        with pytest.raises(AudioError, match=r"^standard input is no file"):
            read_sound(in_memory(source), sample_rate=RATE, name="-")
    with pytest.raises(AudioError, match=r"^/dev/null is empty\.$"):
        read_sound(Path("/dev/null"), sample_rate=RATE)
    with pytest.raises(AudioError, match=r"^standard input is empty\.$"):
        read_sound(b"", sample_rate=RATE, name="-")


def test_what_another_process_can_read_stays(voice_file, tmp_path):
    samples = (np.zeros(9), 16_000)
    for source in (voice_file, str(voice_file), tmp_path, tmp_path / "missing.wav", b"RIFF", samples):
        assert in_memory(source) is source
    closed = voice_file.open("rb")
    closed.close()
    for source, message in (
        (closed, "closed file"),
        ("x" * 300, "too long"),
        (io.StringIO("a"), "is given as StringIO"),
    ):
        with pytest.raises(AudioError, match=message):
            read_sound(in_memory(source), sample_rate=RATE)
    with voice_file.open("rb") as file:
        assert in_memory(file) == voice_file.read_bytes()


def test_names_of_any_bytes_are_told_so_that_a_terminal_can_show_them(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n\x1b[2J.wav"))
    path.write_bytes(b"words")
    for source in (path, path.with_suffix(".flac")):
        with pytest.raises(AudioError, match=r"/caf\\xe9\\x0a\\x1b\[2J") as refused:
            read_sound(source, sample_rate=RATE)
        assert str(refused.value).isprintable()
        str(refused.value).encode("utf-8")


def test_whole_numbers_of_16_bits_saved_as_floats_are_brought_to_full_scale(voice):
    whole = np.round(voice * 2**15)
    expected = read_sound(((whole / 2**15).astype(np.float32), RATE), sample_rate=16_000)
    for samples in (whole.astype(np.float32), whole.astype(np.float64), np.stack([whole, whole], axis=1)):
        sound = read_sound((samples, RATE), sample_rate=16_000)
        np.testing.assert_array_equal(sound.waveform, expected.waveform)
        assert (sound.peak, sound.clipped, sound.beyond_full_scale) == (expected.peak, False, False)
    clipped = np.clip(4 * whole, -(2**15), 2**15 - 1)
    assert read_sound((clipped, RATE), sample_rate=RATE).clipped


@pytest.mark.parametrize("scale", [2.0**15 + 0.25, 2.0**23, 2.0**31, 3.5])
def test_what_is_beyond_full_scale_in_other_ways_is_left_and_called_so(voice, scale):
    loud = (voice / np.abs(voice).max() * scale).astype(np.float32)
    sound = read_sound((loud, RATE), sample_rate=RATE)
    np.testing.assert_array_equal(sound.waveform, loud)
    assert (sound.clipped, sound.beyond_full_scale) == (False, True)


def test_a_float_recording_at_full_scale_is_clipped(voice):
    sound = read_sound((np.clip(20 * voice, -1, 1), RATE), sample_rate=RATE)
    assert (sound.clipped, sound.beyond_full_scale) == (True, False)
