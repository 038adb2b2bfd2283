"""What ffmpeg decodes: by ffmpeg itself where it is installed, and by stand-ins that misbehave."""

import contextlib
import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio import ffmpeg
from ser.audio.ffmpeg import conversion
from ser.audio.io import read_sound
from ser.errors import AudioError

M4A = b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(2000)
RATE = 16_000
TONE = (0.3 * np.sin(np.arange(3 * RATE) / 11)).astype(np.float32)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a shell script in the place of ffmpeg; None: there is none."""

    def install(script):
        folder = tmp_path / "bin"
        folder.mkdir()
        if script is not None:
            (folder / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
            (folder / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin" if script is not None else str(folder))

    return install


def au(samples, *, claimed=2**32 - 1):
    header = struct.pack(">4s5I", b".snd", 24, claimed, 6, RATE, samples.shape[1] if samples.ndim == 2 else 1)
    return header + samples.astype(">f4").tobytes()


@pytest.mark.parametrize("channels", [1, 2])
def test_what_ffmpeg_writes_is_read(stand_in, tmp_path, channels):
    samples = np.stack([TONE, -0.5 * TONE], axis=1)[:, :channels]
    (tmp_path / "out.au").write_bytes(au(samples))
    stand_in(f"exec cat {tmp_path}/out.au")
    (tmp_path / "voice.m4a").write_bytes(M4A)
    for source in (tmp_path / "voice.m4a", M4A, io.BytesIO(M4A)):
        sound = read_sound(source, sample_rate=RATE)
        np.testing.assert_array_equal(sound.waveform, samples.mean(axis=1))
        assert (sound.duration, sound.clipped, sound.beyond_full_scale) == (3.0, False, False)


def test_ffmpeg_gets_the_content_of_the_file_and_no_other_way_in(stand_in, tmp_path):
    stand_in(f"for last; do :; done; printf x > {tmp_path}/written; echo unreachable >&2; exit 1")
    with pytest.raises(AudioError, match=r"^the sound cannot be read as sound \(ffmpeg: exit status -25\)\.$"):
        read_sound(M4A, sample_rate=RATE)  # a file that it would write ends it (SIGXFSZ)
    assert (tmp_path / "written").read_bytes() == b""
    arguments = ffmpeg._arguments(7)
    assert arguments.index("-protocol_whitelist") < arguments.index("-i")
    assert arguments[arguments.index("-protocol_whitelist") + 1] == "file,pipe"
    assert arguments[arguments.index("-i") + 1] == "file:/dev/fd/7"
    assert {"-nostdin", "-vn"} <= set(arguments)
    assert not {"hls", "concat", "image2", "sdp", "rtsp", "dash"} & set(ffmpeg._DEMUXERS.split(","))


def test_the_file_is_at_the_number_that_ffmpeg_is_given(stand_in, tmp_path):
    stand_in('while [ "$1" != -i ]; do shift; done; head -c 8 "${2#file:}" | tail -c 4 >&2; exit 1')
    (tmp_path / "voice.m4a").write_bytes(M4A)
    for source in (M4A, tmp_path / "voice.m4a"):
        with pytest.raises(AudioError, match=r"\(ffmpeg: ftyp\)"):
            read_sound(source, sample_rate=RATE)


HEADER = r"printf '.snd\0\0\0\030\377\377\377\377\0\0\0\006\0\0\037\100\0\0\0\001'"
MISBEHAVING = {
    "hangs": ("exec sleep 100", "was not decoded by ffmpeg within"),
    "hangs after a while": (f"{HEADER}; head -c 40000 /dev/zero; exec sleep 100", "was not decoded by ffmpeg within"),
    "closes its output and stays": ("exec >&- 2>&-; exec sleep 100", "was not decoded by ffmpeg within"),
    "complains without end": ("exec yes error >&2", "was not decoded by ffmpeg within"),
    "writes without end": (f"{HEADER}; exec cat /dev/zero", "lasts longer than 600 s"),
    "writes a line without end": ("exec tr '\\0' x < /dev/zero", "something else than was asked for"),
    "writes something else": ("echo some words that are no sound", "something else than was asked for"),
    "writes nothing": ("exit 0", "holds no sound"),
    "writes the header alone": (HEADER, "holds no sound"),
    "writes silence": (f"{HEADER}; head -c 40000 /dev/zero", "is silent"),
    "writes what is no number": (f"{HEADER}; head -c 40000 /dev/zero | tr '\\0' '\\377'", "not numbers"),
    "fails": (
        "echo '[mov @ 0x55] file:/dev/fd/5: moov atom not found.' >&2; exit 1",
        r"\(ffmpeg: 5: moov atom not found\)",
    ),
    "fails in other ways": ("printf 'a\\033[31mb\\377' >&2; exit 1", r"\(ffmpeg: a.x1b\[31mb.\)"),
    "fails without a word": ("exit 7", r"\(ffmpeg: exit status 7\)"),
    "fails half way": (f"{HEADER}; head -c 40000 /dev/zero | tr '\\0' '\\76'; exit 1", r"\(ffmpeg: exit status 1\)"),
    "finds pictures alone": ("echo \"Stream map '0:a:0' matches no streams.\" >&2; exit 1", "holds no sound, though"),
    "is killed": ("kill -9 $$", r"\(ffmpeg: exit status -9\)"),
}


def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", MISBEHAVING)
def test_an_ffmpeg_that_misbehaves_is_one_sentence_and_is_ended(stand_in, monkeypatch, kind):
    script, message = MISBEHAVING[kind]
    if "within" in message:
        monkeypatch.setattr(ffmpeg, "MAX_WALL_SECONDS", 0.3)
        monkeypatch.setattr(ffmpeg, "_MAX_CPU_SECONDS", 1)
    stand_in(script)
    before, n_open = children(), len(os.listdir("/dev/fd"))  # noqa: PTH208
    with pytest.raises(AudioError, match=f"^the seventh .*{message}") as refused:
        read_sound(M4A, sample_rate=RATE, name="the seventh")
    assert str(refused.value).isprintable()
    assert children() == before
    assert len(os.listdir("/dev/fd")) == n_open  # noqa: PTH208


@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends a child with its parent")
def test_ffmpeg_is_ended_with_its_parent(stand_in):
    stand_in("exec sleep 1000")
    script = f"from ser.audio.io import read_sound; read_sound({M4A[:40]!r}, sample_rate=16_000)"
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    while not (child := listed.read_text().split()) or "sleep" not in Path(f"/proc/{child[0]}/comm").read_text():
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    stat = Path(f"/proc/{child[0]}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.02)


def test_without_ffmpeg_the_sentence_has_the_command_that_converts(stand_in, tmp_path):
    stand_in(None)
    path = tmp_path / "my voice.m4a"
    path.write_bytes(M4A)
    with pytest.raises(AudioError) as refused:
        read_sound(path, sample_rate=RATE)
    assert str(refused.value) == (
        f"{path} is M4A, MP4 or MOV, which ffmpeg decodes, but ffmpeg is not installed: install it, or convert the "
        f'file where it is: `ffmpeg -i "{path}" "{tmp_path}/my voice.wav"`.'
    )
    with pytest.raises(AudioError, match=r'^the sound is AMR, .*: `ffmpeg -i "the sound" "the sound.wav"`\.$'):
        read_sound(b"#!AMR\n" + bytes(100), sample_rate=RATE)
    with pytest.raises(AudioError, match=r'^standard input is AMR, .*: `ffmpeg -i "voice" "voice.wav"`\.$'):
        read_sound(b"#!AMR\n" + bytes(100), sample_rate=RATE, name="-")
    with pytest.raises(AudioError, match=r"^caf\\xe9\.m4a is .*: `ffmpeg -i \$'caf\\xe9\.m4a' \$'caf\\xe9\.wav'`\.$"):
        read_sound(M4A, sample_rate=RATE, name=os.fsdecode(b"caf\xe9.m4a"))


@pytest.mark.parametrize(
    "name",
    [
        b"my voice.m4a",
        b'a$HOME `id` !x \\ "b".m4a',
        b"it's.m4a",
        b"it's $5.m4a",
        b"-i.m4a",
        b"caf\xe9.m4a",
        b"it's caf\xe9 \n.m4a",
        "größe.m4a".encode(),
        b"voice.WAV",
        b"voice",
        b"a/b.c/voice",
    ],
)
def test_the_command_is_quoted_so_that_a_shell_gives_the_name_back(name):
    command = conversion(os.fsdecode(name)).removeprefix("ffmpeg -i ")
    assert command.isprintable()
    shown = subprocess.run(["/bin/bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True).stdout
    source, target, _ = shown.split(b"\0")
    assert source.removeprefix(b"./") == name
    assert target != source
    assert target.endswith(b".wav") or name == b"voice.WAV"


@pytest.mark.parametrize(
    "content", [b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile a.wav\n"]
)
def test_lists_of_other_files_do_not_reach_ffmpeg(stand_in, content):
    stand_in("echo reached >&2; exit 1")
    with pytest.raises(AudioError, match="it is no sound file of a kind that is known"):
        read_sound(content, sample_rate=RATE)


CODECS = {
    "m4a": "aac", "aac": "aac", "mp4": "aac", "mov": "alac", "webm": "libopus", "mkv": "flac", "3gp": "aac",
    "wma": "wmav2", "avi": "pcm_s16le", "flv": "aac", "mpg": "mp2", "mts": "aac", "wv": "wavpack", "ac3": "ac3",
    "voc": "pcm_u8", "caf": "alac", "amr": "libopencore_amrnb", "wav": "libmp3lame",
}  # fmt: skip


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("suffix", CODECS)
def test_every_suffix_is_decoded_by_ffmpeg_itself(tmp_path, suffix):
    soundfile.write(tmp_path / "voice-0.wav", TONE, RATE)
    path = tmp_path / f"voice.{suffix}"
    rate = ["-ar", "8000"] if suffix == "amr" else []
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(tmp_path / "voice-0.wav"), "-c:a", CODECS[suffix], *rate]
    if subprocess.run([*command, str(path)], check=False).returncode:
        pytest.skip(f"this ffmpeg has no {CODECS[suffix]}")
    for source in (path, path.read_bytes()):
        sound = read_sound(source, sample_rate=RATE)
        assert sound.duration == pytest.approx(3, abs=0.1)
        assert np.std(sound.waveform[RATE:-RATE]) == pytest.approx(0.3 / np.sqrt(2), rel=0.5)  # AMR is for speech
    with contextlib.suppress(AudioError):  # and raises nothing else
        read_sound(path.read_bytes()[:60] + bytes(3000), sample_rate=RATE)
