import io

import numpy as np
import pytest
import soundfile
import torch

from ser.audio.io import read_sound
from ser.errors import AudioError

RATE = 16_000
STEREO = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, 2))


def read(samples, rate=RATE):
    return read_sound((samples, rate), sample_rate=22_050, name="the seventh")


@pytest.mark.parametrize(
    ("subtype", "dtype"), [("PCM_16", "int16"), ("PCM_32", "int32"), ("FLOAT", "float32"), ("DOUBLE", "float64")]
)
def test_an_array_is_read_as_the_file_that_holds_it(subtype, dtype):
    file = io.BytesIO()
    soundfile.write(file, STEREO, RATE, format="WAV", subtype=subtype)
    expected = read_sound(file.getvalue(), sample_rate=22_050)
    samples, rate = soundfile.read(io.BytesIO(file.getvalue()), dtype=dtype)
    for given in (samples, samples.T, samples.tolist() if dtype == "float64" else torch.from_numpy(samples)):
        sound = read(given, np.int64(rate))
        np.testing.assert_array_equal(sound.waveform, expected.waveform)
        assert (sound.duration, sound.peak, sound.clipped) == (expected.duration, expected.peak, expected.clipped)


@pytest.mark.parametrize(("dtype", "scale", "middle"), [("int8", 128, 0), ("uint8", 128, 128), (">i2", 2**15, 0)])
def test_whole_numbers_are_of_their_full_scale(dtype, scale, middle):
    wanted = np.round(STEREO * scale)
    sound = read((wanted + middle).astype(dtype))
    expected = read((wanted / scale).astype("float32"))
    np.testing.assert_array_equal(sound.waveform, expected.waveform)


def test_mono_has_one_axis_or_two():
    mono = STEREO[:, 0]
    for given in (mono[:, None], mono[None]):
        np.testing.assert_array_equal(read(given).waveform, read(mono).waveform)
    assert read(mono, 16_000.0).duration == 1
    beyond = read(4 * mono)
    assert beyond.beyond_full_scale
    assert not beyond.clipped
    assert read(np.clip(4 * mono, -1, 1)).clipped


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((RATE, STEREO), r"is a tuple \(int, ndarray\); give \(samples, rate\)"),
        ((STEREO, RATE, 1), r"is a tuple \(ndarray, int, int\); give"),
        ((STEREO, "16000"), r"is a tuple \(ndarray, str\); give"),
        ((STEREO, 16_000.5), r"is a tuple \(ndarray, float\); give .* whole number of Hz"),
        ((STEREO, np.nan), "whole number of Hz"),
        ((STEREO, True), "whole number of Hz"),
        ((STEREO, 100), "has a rate of 100 Hz"),
        ((STEREO, -RATE), "has a rate of -16000 Hz"),
        ((np.zeros((9, 100)), RATE), r"has the shape \[9, 100\]; give \[samples\], \[samples, channels\]"),
        ((np.zeros((2, 2, 2)), RATE), r"has the shape \[2, 2, 2\]"),
        ((0.5, RATE), r"has the shape \[\]"),
        ((np.arange(RATE), RATE), "has samples of type int64, whose full scale is unknown; give int16"),
        ((STEREO > 0, RATE), "has samples of type bool"),
        ((STEREO + 0j, RATE), "has samples of type complex128"),
        (("voice", RATE), "has the shape"),
        (([[0.1, 0.2], [0.1]], RATE), r"cannot be made an array of numpy \(.*inhomogeneous"),
        ((torch.zeros(RATE, requires_grad=True), RATE), r"cannot be made an array of numpy \(.*grad"),
        ((np.zeros(0), RATE), "holds no sound"),
        ((np.zeros((0, 2)), RATE), "holds no sound"),
        ((np.zeros((2, 0)), RATE), "holds no sound"),
        ((np.ones((2, 2)), RATE), "lasts 0.00 s"),
        ((np.zeros(RATE), RATE), "is silent"),
        ((np.full(RATE, np.nan), RATE), "not numbers"),
        ((np.full(RATE, 1e300), RATE), "not numbers"),
        ((np.full(RATE, 1e25), RATE), "times full scale"),
        (STEREO, "is given as ndarray; give a path, bytes, a file opened as binary, or"),
        (None, "is given as NoneType"),
        (io.StringIO("words"), "is given as StringIO; give .* a file opened as binary"),
    ],
)
def test_what_is_no_sound_is_one_sentence(source, message):
    with pytest.raises(AudioError, match=f"^the seventh .*{message}") as refused:
        read_sound(source, sample_rate=RATE, name="the seventh")
    assert str(refused.value).endswith(".")


def test_a_file_is_read_from_where_it_stands_and_bears_its_name(tmp_path):
    path = tmp_path / "voice.wav"
    soundfile.write(path, STEREO, RATE)
    expected = read_sound(path, sample_rate=RATE).waveform
    padded = io.BytesIO(b"head" + path.read_bytes())
    padded.seek(4)
    with path.open("rb") as file:
        for source in (str(path), file, padded, bytearray(path.read_bytes()), memoryview(path.read_bytes())):
            np.testing.assert_array_equal(read_sound(source, sample_rate=RATE).waveform, expected)
        with pytest.raises(AudioError, match=rf"^{path} is empty"):  # it is at its end by now
            read_sound(file, sample_rate=RATE)
    with pytest.raises(AudioError, match=rf"^{path} cannot be read as sound \(.*closed file"):
        read_sound(file, sample_rate=RATE)
    with pytest.raises(AudioError, match=r"^the sound is empty"):
        read_sound(b"", sample_rate=RATE)
    with pytest.raises(AudioError, match=r"^x+ cannot be read as sound \(.*too long"):
        read_sound("x" * 300, sample_rate=RATE)
