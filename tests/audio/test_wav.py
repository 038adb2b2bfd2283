import io
import struct

import pytest

from ser.audio.wav import BareWav, read_wav
from ser.errors import AudioError


def chunk(kind: bytes, body: bytes, claimed: int | None = None) -> bytes:
    length = len(body) if claimed is None else claimed
    return kind + struct.pack("<I", length) + body + b"\0" * (len(body) % 2)


def form(tag: int = 1, channels: int = 2, rate: int = 48_000, extra: bytes = b"") -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * channels * 2, channels * 2, 16) + extra)


def wav(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def read(content: bytes) -> BareWav | None:
    return read_wav(io.BytesIO(content), size=len(content), name="take.wav")


def test_the_header_s_fields():
    file = read(wav(chunk(b"LIST", b"abc"), form(), chunk(b"fact", bytes(4)), chunk(b"data", bytes(400))))
    assert (file.channels, file.rate, file.claimed_bytes, file.held_bytes) == (2, 48_000, 400, 400)


@pytest.mark.parametrize("surplus", [0, 8])
def test_the_subformat_of_an_extensible_file_counts(surplus):
    def extensible(tag):
        extra = struct.pack("<HHIH", 22 + surplus, 16, 3, tag) + bytes(14 + surplus)
        return wav(form(tag=0xFFFE, extra=extra), chunk(b"data", bytes(8)))

    assert [read(extensible(tag)).channels for tag in (1, 3)] == [2, 2]
    with pytest.raises(AudioError, match=r"take.wav holds samples of format 0x0007; export it as PCM"):
        read(extensible(7))  # mu-law


@pytest.mark.parametrize(("written", "claimed"), [(400, 400), (401, 401), (0, 400), (0xFFFFFFFF, 400)])
def test_a_length_is_a_claim_but_for_those_of_a_stream(written, claimed):
    file = read(wav(form(), chunk(b"data", bytes(400), claimed=written)))
    assert (file.held_bytes, file.claimed_bytes) == (400, claimed)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"RIFF\0\0\0\0AVI LIST", "holds no WAVE sound"),
        (wav(form()), "no data chunk"),
        (wav(form()) + b"dat", "no data chunk"),
        (wav(form(tag=0xFFFE), chunk(b"data", bytes(8))), "format 0xFFFE"),
        (wav(chunk(b"data", bytes(8)), form()), "no format before the sound"),
        (wav(chunk(b"fmt ", bytes(6)), chunk(b"data", bytes(8))), "no format before the sound"),
        (wav(form(tag=2), chunk(b"data", bytes(8))), "format 0x0002"),
        (wav(*[chunk(b"junk", b"")] * 70, form(), chunk(b"data", bytes(8))), "no data chunk"),
        (wav(chunk(b"junk", b"", claimed=0xFFFFFFF0), form(), chunk(b"data", bytes(8))), "no data chunk"),
    ],
)
def test_damaged_headers_are_refused_by_name(content, complaint):
    with pytest.raises(AudioError, match=f"take.wav .*{complaint}"):
        read(content)


def test_other_formats_are_left_to_the_decoder():
    assert read(b"fLaC" + bytes(100)) is None
    assert read(b"") is None


def whole_of(file: BareWav, step: int = 7) -> bytes:
    parts = []
    while n_bytes := file.readinto(buffer := memoryview(bytearray(step))):
        parts.append(bytes(buffer[:n_bytes]))
    return b"".join(parts)


@pytest.mark.parametrize("claimed", [None, 0, 0xFFFFFFFF])
def test_only_the_format_and_the_sound_are_left(claimed):
    sound = bytes(range(200))
    content = wav(chunk(b"LIST", b"abc"), form(extra=b"\0\0"), chunk(b"cue ", bytes(9)), chunk(b"data", sound, claimed))
    assert whole_of(read(content)) == wav(form(extra=b"\0\0"), chunk(b"data", sound))
    if claimed is None:  # then what follows the sound is left out too
        assert whole_of(read(content + chunk(b"LIST", b"abcd"))) == whole_of(read(content))


def test_a_place_is_found_from_either_end_and_none_before_the_beginning():
    content = wav(form(), chunk(b"data", bytes(range(100))))
    file = read(wav(chunk(b"junk", bytes(10)), form(), chunk(b"data", bytes(range(100))), chunk(b"LIST", bytes(10))))
    assert file.seek(0, io.SEEK_END) == len(content)
    assert whole_of(file) == b""
    file.seek(5, io.SEEK_CUR)
    assert whole_of(file) == b""  # the list lies there, and is no sound
    assert file.seek(0, io.SEEK_END) == len(content)
    assert file.seek(-10, io.SEEK_CUR) == file.tell() == len(content) - 10
    assert whole_of(file) == content[-10:]
    assert file.seek(30) == 30
    assert file.seek(-31, io.SEEK_CUR) == file.seek(-1) == 30
    buffer = memoryview(bytearray(1000))
    assert file.readinto(buffer) == len(content) - 30  # in one go: libsndfile takes less for the end
    assert bytes(buffer[: len(content) - 30]) == content[30:]
