import io
import struct

import pytest

from ser.audio.bare import BareSound
from ser.audio.formats import Foreign
from ser.audio.wav import read_wav
from ser.errors import AudioError


def chunk(kind: bytes, body: bytes, claimed: int | None = None) -> bytes:
    length = len(body) if claimed is None else claimed
    return kind + struct.pack("<I", length) + body + b"\0" * (len(body) % 2)


def form(tag: int = 1, channels: int = 2, rate: int = 48_000, extra: bytes = b"") -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * channels * 2, channels * 2, 16) + extra)


def wav(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def read(content: bytes) -> BareSound | Foreign | None:
    return read_wav(io.BytesIO(content), size=len(content), name="take.wav")


def test_the_header_s_fields():
    file = read(wav(chunk(b"LIST", b"abc"), form(), chunk(b"fact", bytes(4)), chunk(b"data", bytes(400))))
    assert (file.channels, file.rate, file.place.claimed, file.place.held) == (2, 48_000, 400, 400)


@pytest.mark.parametrize("surplus", [0, 8])
def test_the_subformat_of_an_extensible_file_counts(surplus):
    def extensible(tag):
        extra = struct.pack("<HHIH", 22 + surplus, 16, 3, tag) + bytes(14 + surplus)
        return wav(form(tag=0xFFFE, extra=extra), chunk(b"data", bytes(8)))

    assert [read(extensible(tag)).channels for tag in (1, 3)] == [2, 2]
    with pytest.raises(AudioError, match=r"take.wav holds samples of format 0x0007; export it as PCM"):
        read(extensible(7))  # mu-law of 16 bits


UNKNOWN = (0, 0x7F000000, 0x7FFFEFFD, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""Lengths that programs write into a pipe; 0x7FFFEFFD: of whole frames of 24 bits."""


@pytest.mark.parametrize(
    ("written", "claimed"),
    [(400, 400), (401, 401), (399, 399), (0x7EFEFFFF, 0x7EFEFFFF), *((unknown, 400) for unknown in UNKNOWN)],
)
def test_a_length_is_a_claim_but_for_those_of_a_stream(written, claimed):
    file = read(wav(form(), chunk(b"data", bytes(400), claimed=written)))
    assert (file.place.held, file.place.claimed) == (400, claimed)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"RIFF\0\0\0\0AVI LIST", "holds no WAVE sound"),
        (wav(form()), "no data chunk"),
        (wav(form()) + b"dat", "no data chunk"),
        (wav(form(tag=0xFFFE), chunk(b"data", bytes(8))), "format 0xFFFE"),
        (wav(chunk(b"data", bytes(8)), form()), "no format before the sound"),
        (wav(chunk(b"fmt ", bytes(6)), chunk(b"data", bytes(8))), "no format before the sound"),
        (wav(form(tag=0x674F), chunk(b"data", bytes(8))), "format 0x674F"),
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


def whole_of(file: BareSound, step: int = 7) -> bytes:
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


def block_form(tag, channels, block, rate=8_000):
    return chunk(b"fmt ", struct.pack("<HHIIHHHH", tag, channels, rate, 8_000, block, 4, 2, 99))


@pytest.mark.parametrize(
    ("tag", "channels", "block"),
    [(2, 1, 0), (2, 1, 15), (2, 2, 257), (2, 3, 513), (2, 1, 65_535), (0x11, 1, 258), (0x31, 1, 64), (0x31, 2, 65)],
)
def test_blocks_that_no_encoder_makes_do_not_reach_the_decoder(tag, channels, block):
    with pytest.raises(AudioError, match=f"format 0x{tag:04X}"):
        read(wav(block_form(tag, channels, block), chunk(b"data", bytes(1024))))


def test_a_block_format_is_made_anew_from_its_own_fields():
    file = read(wav(block_form(0x11, 2, 512), chunk(b"data", bytes(1024))))
    header = bytearray(100)
    assert file.readinto(memoryview(header)) == 100
    # Four bytes of each channel hold its first sample, half a byte each further one (IMA, "Recommended Practices").
    assert struct.unpack_from("<HHIIHHHH", header, 20) == (0x11, 2, 8_000, 8_000 * 512 // 505, 512, 4, 2, 505)


@pytest.mark.parametrize(("tag", "block"), [(2, 16), (0x11, 16), (0x31, 65), (6, 1), (7, 1)])
def test_any_rate_of_a_header_is_told(tag, block):
    form = block_form(tag, 1, block, 2**32 - 1)
    form = form[:22] + struct.pack("<H", 8 if block == 1 else 4) + form[24:]
    assert read(wav(form, chunk(b"data", bytes(1024)))).rate == 2**32 - 1


def test_what_ffmpeg_decodes_is_told():
    assert read(wav(form(tag=0x55), chunk(b"data", bytes(8)))) == Foreign("WAV that holds MP3")
