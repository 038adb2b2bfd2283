"""Pitch: known tones, a voice's glide, noise; and that one odd frame does not break the path."""

import numpy as np
import pytest
import scipy.signal

from ser.features import compiled
from ser.features.extract import extract
from ser.features.pitch import HIGHEST_HZ, LOWEST_HZ, _smoothest, _window_autocorrelation, track_pitch
from ser.features.settings import FeatureSettings

RATE = 22050
SETTINGS = FeatureSettings(n_fft=1024, hop_length=441, groups=("pitch",))


@pytest.fixture(autouse=True)
def by_numpy(monkeypatch):
    """Take numpy, whatever the tests before have loaded."""
    monkeypatch.setattr(compiled, "_LOADED", [])


def voice(hz, *, seconds=1.0):
    """Harmonics of a pitch, which is a number or float64 [samples], falling by 6 dB an octave."""
    hz = np.broadcast_to(hz, round(seconds * RATE))
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    return sum(np.sin(k * phase) / k for k in range(1, 20)).astype(np.float32) * 0.1


def inner(rows):
    """Leave out the frames that reach over an end."""
    return rows[:, 3:-3]


@pytest.mark.parametrize("hz", [75.0, 98.3, 142.0, 211.0, 333.3, 480.0])
def test_the_pitch_of_a_steady_voice(hz):
    pitch, voicing = inner(extract(voice(hz), SETTINGS))
    np.testing.assert_allclose(pitch, np.log2(hz), atol=1 / 36)
    assert voicing.min() > 0.85


def test_the_fundamental_may_be_missing_as_on_a_telephone():
    sos = scipy.signal.butter(6, 300, "high", fs=RATE, output="sos")
    pitch, _ = inner(extract(scipy.signal.sosfilt(sos, voice(120.0)).astype(np.float32), SETTINGS))
    np.testing.assert_allclose(pitch, np.log2(120), atol=1 / 36)


def test_a_glide_is_followed():
    hz = 110 * 2 ** np.linspace(0, 1, RATE)  # an octave in a second
    pitch, _ = inner(extract(voice(hz), SETTINGS))
    expected = np.log2(110) + np.arange(3, 3 + len(pitch)) * 441 / RATE
    np.testing.assert_allclose(pitch, expected, atol=0.06)


def test_loudness_does_not_matter():
    loud, quiet = extract(voice(180.0), SETTINGS), extract(voice(180.0) * np.float32(0.001), SETTINGS)
    np.testing.assert_allclose(loud, quiet, atol=1e-4)


def test_noise_and_silence_are_not_voiced():
    noise = np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    assert np.median(extract(noise, SETTINGS)[1]) < 0.3
    pitch, voicing = extract(np.zeros(RATE, dtype=np.float32), SETTINGS)
    assert np.abs(voicing).max() < 0.1
    assert (pitch >= np.log2(LOWEST_HZ)).all()
    assert (pitch <= np.log2(HIGHEST_HZ)).all()


def test_one_frame_of_noise_does_not_break_the_path():
    sound = voice(150.0)
    power = np.abs(scipy.signal.stft(sound, RATE, nperseg=1024, noverlap=1024 - 441)[2].T).astype(np.float32) ** 2
    power[20] = np.random.default_rng(1).exponential(power.mean(), size=power.shape[1])
    pitch, voicing = track_pitch(power, sample_rate=RATE, n_fft=1024)
    np.testing.assert_allclose(pitch[3:-3], np.log2(150), atol=1 / 36)
    assert voicing[20] < voicing[19] - 0.3


def test_the_window_s_autocorrelation():
    window = scipy.signal.get_window("hann", 1000)
    full = np.correlate(window, window, "full")[999:] / (window @ window)
    lags = np.arange(0, 500, 7)
    np.testing.assert_allclose(_window_autocorrelation(lags / 1000), full[lags], atol=1e-4)


@pytest.mark.parametrize("n_candidates", [1, 7, 8, 9, 120])
@pytest.mark.parametrize("steps", [None, 2, 0])
def test_the_compiled_search_finds_the_path_of_numpy(n_candidates, steps):
    """Also where many paths are equally good: there are few values, or one."""
    strength = np.random.default_rng(n_candidates).random((60, n_candidates), dtype=np.float32)
    if steps is not None:
        strength = np.round(strength * steps) * np.float32(0.02)
    expected = _smoothest(strength)
    compiled.load_compiled()
    assert compiled.compiled_loops() is not None
    np.testing.assert_array_equal(_smoothest(strength), expected)
