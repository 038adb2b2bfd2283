from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio.io import read_sound
from ser.corpora.manifest import Recording
from ser.corpora.sound import read_recording
from ser.errors import AudioError

RATE = 16000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Two seconds of noise, of which the last half is silent."""
    path: Path = tmp_path_factory.mktemp("sound") / "two.wav"
    noise = np.random.default_rng(0).normal(scale=0.1, size=2 * RATE)
    noise[int(1.5 * RATE) :] = 0
    soundfile.write(path, noise, RATE)
    return path


def part(path, start=None, end=None):
    return Recording(path=path, id="two", emotion="sad", start=start, end=end)


def test_a_part_is_cut_at_its_samples(path):
    whole = read_sound(path, sample_rate=RATE).waveform
    np.testing.assert_array_equal(read_recording(part(path), sample_rate=RATE), whole)
    np.testing.assert_array_equal(read_recording(part(path, 0.25, 1.0), sample_rate=RATE), whole[4000:16000])
    np.testing.assert_array_equal(read_recording(part(path, None, 1.0), sample_rate=RATE), whole[:16000])
    np.testing.assert_array_equal(read_recording(part(path, 1.0), sample_rate=RATE), whole[16000:])
    np.testing.assert_array_equal(read_recording(part(path, 1.0, 2.01), sample_rate=RATE), whole[16000:])


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (2.0, 2.5, r"2 to 2.5 s, ends behind the end of the file \(2.00 s\); correct start and end"),
        (0.0, 2.5, "ends behind the end of the file"),
        (0.5, 0.6, "lasts 0.10 s; at least 0.2 s are needed"),
        (1.6, 2.0, "is silent"),
    ],
)
def test_a_part_that_is_none_is_refused_by_its_file_and_seconds(path, start, end, reason):
    with pytest.raises(AudioError, match=reason) as refused:
        read_recording(part(path, start, end), sample_rate=RATE)
    assert str(path) in str(refused.value)
