from dataclasses import replace

import numpy as np
import pytest
import soundfile

from ser.checkpoint import fresh_recogniser
from ser.corpus.names import EMOTIONS
from ser.description import Description
from ser.enrolment import mean_of_bands, shifted, speaker_shift
from ser.errors import SettingsError
from ser.features import FeatureSettings, extract
from ser.predictor import Predictor
from ser.torch_scorer import TorchScorer

RATE = 22050
FEATURES = FeatureSettings(groups=("logmel",), n_mels=20, max_length=64)


def padded(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    features = np.zeros((len(lengths), 3, 30), dtype=np.float32)
    for row, length in enumerate(lengths):
        features[row, :, :length] = rng.normal(-40, 5, (3, length))
    return features


def test_the_mean_is_over_real_frames_of_all_recordings():
    features = padded(10, 30)
    frames = np.concatenate([features[0, :, :10], features[1]], axis=1)
    np.testing.assert_allclose(mean_of_bands(features), frames.mean(axis=1), rtol=1e-5)


def test_a_shifted_speaker_has_the_mean_of_the_neutral_voices_and_the_same_padding():
    features, neutral = padded(12, 25), [-50.0, -30.0, -20.0]
    rows = FeatureSettings(groups=("mfcc",), n_mfcc=3)
    moved = shifted(features, speaker_shift(features, neutral, rows))
    np.testing.assert_allclose(mean_of_bands(moved), neutral, rtol=1e-5)
    assert not moved[0, :, 12:].any()
    assert not moved[1, :, 25:].any()


@pytest.fixture
def predictor():
    description = Description(
        architecture="residual_bilstm",
        network={"channels": (4, 4), "lstm_hidden": 4, "attention_hidden": 4},
        class_names=EMOTIONS,
        features=FEATURES,
        protocol="made up",
        neutral_mean=tuple(np.linspace(-30, -60, 20).tolist()),
    )
    return Predictor(TorchScorer(fresh_recogniser(description)), description)


def test_enrolment_is_a_third_of_the_shift_of_the_bands_without_their_level(predictor, voice, tmp_path):
    path = tmp_path / "voice.wav"
    soundfile.write(path, voice[:20000], RATE, subtype="FLOAT")
    apart = extract(voice[:20000], FEATURES).mean(axis=1) - np.array(predictor.description.neutral_mean)
    enrolled = predictor.enrol([path, path])
    np.testing.assert_allclose(enrolled.shift, (apart - apart.mean()) / 3, rtol=1e-4, atol=1e-3)
    assert predictor.shift is None


def test_the_pitch_is_shifted_in_full_and_voicing_stays():
    rows = FeatureSettings(groups=("logmel", "pitch"), n_fft=1024, n_mels=2, n_mfcc=2)
    features = np.ones((1, 4, 9), dtype=np.float32) * np.array([-40, -20, 7.5, 0.8], dtype=np.float32)[None, :, None]
    shift = speaker_shift(features, [-46.0, -20.0, 7.0, 0.5], rows)
    np.testing.assert_allclose(shift, [1.0, -1.0, 0.5, 0.0], atol=1e-5)


def test_who_cannot_be_enrolled_is_told(predictor, voice_file):
    with pytest.raises(SettingsError, match="No recording to tune"):
        predictor.enrol([])
    ignorant = Predictor(predictor.scorer, replace(predictor.description, neutral_mean=()))
    with pytest.raises(SettingsError, match="cannot be tuned to a speaker"):
        ignorant.enrol([voice_file])
    with pytest.raises(SettingsError, match="neutral_mean has 2 numbers"):
        replace(predictor.description, neutral_mean=(1.0, 2.0))
