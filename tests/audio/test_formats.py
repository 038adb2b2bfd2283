"""Every format that is decoded here, from every kind of writer: the samples of the decoder itself, and no others."""

import io
import struct

import numpy as np
import pytest
import soundfile

from ser.audio.formats import DECODED, foreign_kind, is_decoded
from ser.audio.io import read_sound
from ser.errors import AudioError

RATE = 16_000
STEREO = (0.3 * np.sin(np.arange(2 * RATE) / 7)[:, None] * [1, 0.5]).astype(np.float32)
LAWS, ADPCM = ("ULAW", "ALAW"), ("IMA_ADPCM", "MS_ADPCM")
WHOLE, REAL = ("PCM_16", "PCM_24", "PCM_32"), ("FLOAT", "DOUBLE")
FORMATS = {
    "WAV": ("PCM_U8", *WHOLE, *REAL, *LAWS, *ADPCM, "GSM610"),
    "WAVEX": ("PCM_U8", *WHOLE, *REAL, *LAWS),
    "RF64": ("PCM_U8", *WHOLE, *REAL, *LAWS),
    "W64": ("PCM_U8", *WHOLE, *REAL, *LAWS, *ADPCM, "GSM610"),
    "AIFF": ("PCM_S8", "PCM_U8", *WHOLE, *REAL, *LAWS),
    "AU": ("PCM_S8", *WHOLE, *REAL, *LAWS),
    "CAF": ("PCM_S8", *WHOLE, *REAL, *LAWS),
    "OGG": ("VORBIS", "OPUS"),
}
ALL = [
    *((format, subtype, "FILE") for format, subtypes in FORMATS.items() for subtype in subtypes),
    *(
        ("AIFF", "PCM_16", "LITTLE"),
        *((format, subtype, "LITTLE") for format in ("AU", "CAF") for subtype in WHOLE + REAL),
    ),
]
MADE_HERE = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF")
"""Those whose header is rebuilt."""


def encoded(samples, rate=RATE, *, format, subtype="PCM_16", endian="FILE"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype, endian=endian)
    return file.getvalue()


def by_the_decoder(content):
    samples, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("format", "subtype", "endian"), ALL)
def test_the_samples_are_those_of_the_decoder(format, subtype, endian, channels):
    channels = 1 if subtype == "GSM610" else channels
    content = encoded(STEREO[:, :channels], format=format, subtype=subtype, endian=endian)
    sound = read_sound(content, sample_rate=RATE)
    np.testing.assert_array_equal(sound.waveform, by_the_decoder(content))
    assert sound.duration == pytest.approx(2, abs=0.05)  # codecs fill their last block
    assert np.std(sound.waveform) == pytest.approx((0.3 if channels == 1 else 0.225) / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("rate", [4_000, 11_025, 44_100, 192_000])
@pytest.mark.parametrize("format", MADE_HERE)
def test_the_rate_is_that_of_the_header(format, rate):
    content = encoded(np.tile(STEREO, (2, 1)), rate, format=format)
    assert read_sound(content, sample_rate=rate).duration == 2 * len(STEREO) / rate


@pytest.mark.parametrize("suffix", DECODED)
def test_every_suffix_is_one_of_a_format_that_is_read(tmp_path, suffix):
    format = {"wave": "WAV", "oga": "OGG", "aif": "AIFF", "aifc": "AIFF", "snd": "AU", "opus": "OGG"}
    name = format.get(suffix[1:], suffix[1:].upper())
    subtype = {"FLAC": "PCM_16", "MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}.get(name, "PCM_16")
    path = tmp_path / f"voice{suffix}"
    path.write_bytes(encoded(STEREO, format=name, subtype="OPUS" if suffix == ".opus" else subtype))
    assert read_sound(path, sample_rate=RATE).duration == pytest.approx(2, abs=0.1)


def place_of_length(format, content):
    """Return where the length of the samples stands, how it is packed, and what the format counts besides them."""
    if format in ("WAV", "WAVEX"):
        return content.index(b"data") + 4, "<I", 0
    if format == "W64":
        return content.index(b"data", 40) + 16, "<q", 24
    if format == "RF64":
        return content.index(b"ds64") + 16, "<q", 0
    if format == "AIFF":
        return content.index(b"SSND") + 4, ">I", 8
    if format == "CAF":
        return content.index(b"data") + 4, ">q", 4
    return 8, ">I", 0


UNKNOWN = (0, 0x7F000000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, -1)
FIELDS = [
    (format, unknown)
    for format in MADE_HERE
    for unknown in UNKNOWN
    if format in ("RF64", "W64", "CAF") or 0 <= unknown < 2**32
]


@pytest.mark.parametrize("total", [0, 0x7FFFF024, 0xFFFFFFFF, 7])
@pytest.mark.parametrize(("format", "unknown"), FIELDS)
def test_what_was_written_to_a_pipe_is_read_to_its_end(format, unknown, total):
    content = bytearray(encoded(STEREO, format=format))
    place, packed, _ = place_of_length(format, bytes(content))
    struct.pack_into(packed, content, place, unknown)
    if format in ("WAV", "WAVEX", "RF64", "AIFF"):
        struct.pack_into(packed[0] + "I", content, 4, total)
    sound = read_sound(bytes(content), sample_rate=RATE)
    expected = by_the_decoder(encoded(STEREO, format=format))
    # What follows the sound is then taken for sound too: a few bytes, if any.
    np.testing.assert_array_equal(sound.waveform[: len(expected)], expected)
    assert len(sound.waveform) - len(expected) < 50


@pytest.mark.parametrize("format", MADE_HERE)
def test_what_holds_less_than_its_header_says_is_cut_short(format):
    content = bytearray(encoded(STEREO, format=format))
    place, packed, besides = place_of_length(format, bytes(content))
    (true,) = struct.unpack_from(packed, content, place)
    struct.pack_into(packed, content, place, 4 * (true - besides) + besides)
    with pytest.raises(AudioError, match=r"cut short: it holds 2[56]% of the sound"):
        read_sound(bytes(content), sample_rate=RATE)


def chunk(kind, body, order=">I"):
    return kind + struct.pack(order, len(body)) + body + bytes(len(body) % 2)


@pytest.mark.timeout(20)
def test_what_else_a_file_holds_does_not_reach_the_decoder():
    aiff = encoded(STEREO, format="AIFF")
    endless = chunk(b"NAME", b"x" * 7) + chunk(b"LIST", struct.pack(">i", -8) * 4) + chunk(b"ANNO", b"")
    caf = encoded(STEREO, format="CAF")
    tags = chunk(b"info", bytes(9), ">q")[:-1] + chunk(b"free", bytes(40), ">q")
    au, note = encoded(STEREO, format="AU"), b"a note\0\0"
    noted = au[:4] + struct.pack(">I", 24 + len(note)) + au[8:24] + note + au[24:]
    for plain, hostile in (
        (aiff, aiff[:12] + endless + aiff[12:]),
        (aiff, aiff + endless),
        (caf, caf[:52] + tags + caf[52:]),
        (au, noted),
    ):
        np.testing.assert_array_equal(read_sound(hostile, sample_rate=RATE).waveform, by_the_decoder(plain))


def test_the_sound_of_an_aiff_may_come_before_its_format():
    content = encoded(STEREO, format="AIFF")
    common, sound = content.index(b"COMM"), content.index(b"SSND")
    (length,) = struct.unpack_from(">I", content, sound + 4)
    parts = content[sound : sound + 8 + length], content[common : common + 26]
    swapped = content[:12] + b"".join(parts)
    np.testing.assert_array_equal(read_sound(swapped, sample_rate=RATE).waveform, by_the_decoder(content))


def aiff(*, channels=1, bits=16, rate=b"\x40\x0c\xfa\0\0\0\0\0\0\0", compression=b"", body=bytes(4000)):
    common = chunk(b"COMM", struct.pack(">hIh", channels, 2000, bits) + rate + compression)
    form = (b"AIFC" if compression else b"AIFF") + common + chunk(b"SSND", bytes(8) + body)
    return chunk(b"FORM", form)


def caf(format=b"lpcm", *, rate=8_000.0, flags=0, packet=2, frames=1, channels=1, bits=16, n_bytes=4_000):
    desc = struct.pack(">d4sIIIII", rate, format, flags, packet, frames, channels, bits)
    return b"caff\0\1\0\0" + chunk(b"desc", desc, ">q") + chunk(b"data", bytes(n_bytes + 4), ">q")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (aiff(rate=bytes(10)), "a rate of 0 Hz"),
        (aiff(rate=b"\xff" * 10), "a rate of 0 Hz"),
        (aiff(rate=b"\x7f\xff" + bytes(8)), "a rate of 0 Hz"),
        (aiff(bits=33), "33 bits"),
        (aiff(bits=0), "0 bits"),
        (aiff(channels=-1), "-1 channels"),
        (aiff(channels=9), "9 channels; 1 to 8"),
        (aiff()[:30], "no format, or no sound"),
        (chunk(b"FORM", b"AIFF" + chunk(b"SSND", bytes(99))), "no format, or no sound"),
        (chunk(b"FORM", b"AIFF" + chunk(b"none", b"") * 70 + aiff()[12:]), "no format, or no sound"),
        (chunk(b"FORM", b"8SVX" + aiff()[12:]), "no sound file"),
        (caf(rate=float("nan")), "a rate of 0 Hz"),
        (caf(rate=float("inf")), "a rate of 0 Hz"),
        (caf(rate=-8000.0), "a rate of 0 Hz"),
        (caf(bits=0), "0 bits in packets of 2"),
        (caf(bits=2**32 - 1), "4294967295 bits"),
        (caf(packet=4), "16 bits in packets of 4"),
        (caf(flags=1), "16 bits"),
        (caf(channels=0, packet=0), "0 channels"),
        (caf()[:40], "no format before the sound"),
        (b"caff\0\1\0\0" + chunk(b"free", b"", ">q") * 70 + caf()[8:], "no format before the sound"),
        (b"caff\0\1\0\0" + b"free" + struct.pack(">q", -12) + caf()[8:], "no format before the sound"),
        (b".snd" + struct.pack(">5I", 24, 0, 23, RATE, 1) + bytes(999), "encoding 23"),
        (b".snd" + struct.pack(">5I", 0, 0, 3, RATE, 1) + bytes(999), "encoding 3"),
        (b".snd" + struct.pack(">5I", 2**32 - 1, 0, 3, RATE, 1) + bytes(999), "holds no sound"),
        (b".snd" + bytes(10), "no sound file"),
    ],
)
def test_damaged_headers_are_refused_by_name(content, complaint):
    with pytest.raises(AudioError, match=f"^take.1 .*{complaint}"):
        read_sound(content, sample_rate=RATE, name="take.1")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0 ftypM4A \0", "M4A, MP4 or MOV"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81", "WebM or Matroska"),
        (b"#!AMR-WB\n", "AMR"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"\xff\xf9\x50\x80", "AAC"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        ((b"G" + bytes(187)) * 3, "MPEG video"),
        (b"OggS" + bytes(24) + b"Speex   1.2", "Speex"),
        (b"\xff\xfb\x90\0", None),
        (b"\xff\xe3\x90\0", None),
        (b"OggS" + bytes(24) + b"\x01vorbis", None),
        (b"OggS" + bytes(24) + b"OpusHead", None),
        (b"#EXTM3U\nhttp://127.0.0.1/a.mp3", None),
        (b"", None),
    ],
)
def test_formats_are_told_by_how_they_begin(start, kind):
    assert foreign_kind(start) == kind
    assert is_decoded(start) or not start.startswith((b"\xff\xfb", b"\xff\xe3", b"OggS"))
