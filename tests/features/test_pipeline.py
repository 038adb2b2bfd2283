import numpy as np
import pytest

from ser.audio.io import Sound
from ser.audio.voice_activity import Span
from ser.features.extract import extract
from ser.features.pipeline import features_of_sound
from ser.features.settings import FeatureSettings

RATE = 22050
SETTINGS = FeatureSettings(groups=("mel",), max_length=64)  # a window of 1.49 s


def load(waveform, settings=SETTINGS):
    duration, peak = len(waveform) / RATE, float(np.abs(waveform).max())
    sound = Sound(waveform=waveform, sample_rate=RATE, duration=duration, peak=peak, clipped=False)
    return features_of_sound(sound, settings)


def test_what_the_window_holds_goes_in_whole(voice):
    clip = voice[:30_000] + np.float32(1e-3)  # such a mean is in the clips of training, too
    (whole,) = load(clip).utterances
    assert (whole.start, whole.end, whole.offset) == (0, 30_000 / RATE, 0)
    np.testing.assert_array_equal(whole.features, extract(clip, SETTINGS))
    assert whole.length == whole.features.shape[1] == 59


def test_an_end_without_speech_is_cut_off_as_in_training(voice):
    clip = np.pad(voice[:28_000], (0, 12_000))  # 1.81 s, of which the last half second is silent
    (whole,) = load(clip).utterances
    assert (whole.start, whole.end, whole.length) == (0, 40_000 / RATE, 64)
    longer = np.pad(voice[:28_000], (0, 30_000))
    assert load(longer).utterances[-1].end < len(longer) / RATE


def test_the_frames_of_an_utterance_are_those_of_the_recording(voice):
    """So a pause before or after a clip does not move its frames, and leaves its prediction what it was."""
    silence = np.zeros(3 * RATE + 123, dtype=np.float32)
    recording = np.concatenate([silence, voice[:22_000], silence])
    recording -= recording.mean()
    (utterance,) = load(recording).utterances
    first = utterance.offset * RATE / SETTINGS.hop_length
    assert first == pytest.approx(round(first))
    of_whole = extract(recording, SETTINGS)[:, round(first) :]
    inside = slice(2, utterance.length - 3)  # a frame at an edge reaches beyond the cut
    np.testing.assert_allclose(utterance.features[:, inside], of_whole[:, inside], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("offset", [0.02, -0.3])
@pytest.mark.parametrize("n_samples", [30_000, 44_100])
def test_an_offset_changes_nothing(voice, n_samples, offset):
    plain, shifted = load(voice[:n_samples]), load(voice[:n_samples] + np.float32(offset))
    assert len(plain.utterances) == len(shifted.utterances) > 0
    for one, other in zip(plain.utterances, shifted.utterances, strict=True):
        assert (one.start, one.end, one.speech) == (other.start, other.end, other.speech)
        np.testing.assert_allclose(other.features, one.features, rtol=1e-2, atol=1e-4)


def test_without_speech_nothing_goes_in():
    noise = np.random.default_rng(0).normal(scale=0.01, size=3 * RATE).astype(np.float32)
    for n_samples in (RATE, 3 * RATE):
        loaded = load(noise[:n_samples])
        assert (loaded.utterances, loaded.speech) == ((), 0)


def test_too_little_speech_is_told_from_none(voice, monkeypatch):
    found = [Span(0.9, 1.35)]  # a quarter of a second of speech between its margins
    monkeypatch.setattr("ser.features.pipeline.find_speech", lambda waveform, *, sample_rate: found)
    for waveform in (voice[:30_000], np.pad(voice, RATE)):
        loaded = load(waveform)
        assert loaded.utterances == ()
        assert loaded.speech == pytest.approx(0.25)
