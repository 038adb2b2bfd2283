"""The groups that librosa computes: known values of plain sounds, and what happens without librosa."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from ser.errors import SettingsError
from ser.features.extract import extract
from ser.features.groups import GROUPS
from ser.features.pipeline import try_load_features
from ser.features.settings import FeatureSettings, rows_of

RATE = 22050
LIBROSA_ONLY = tuple(name for name, group in GROUPS.items() if group.fast is None)
SETTINGS = FeatureSettings(groups=LIBROSA_ONLY)


def tone(hz, seconds=1.0):
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def of_a_tone():
    """Group -> mean over the inner frames of A4, [rows]."""
    features = extract(tone(440.0, seconds=2.0), SETTINGS)
    return {group: features[rows, 5:-5].mean(axis=1) for group, rows in rows_of(SETTINGS).items()}


def test_the_list_is_fixed():
    spectral = ("spectral_centroid", "spectral_bandwidth", "spectral_rolloff", "spectral_flatness", "poly_features")
    assert (*spectral, "tonnetz", "chroma_cqt", "chroma_cens") == LIBROSA_ONLY


def test_the_spectrum_of_a_tone(of_a_tone):
    assert of_a_tone["spectral_centroid"] == pytest.approx(440, rel=0.01)
    assert of_a_tone["spectral_rolloff"] == pytest.approx(440, abs=2 * RATE / 2048)
    assert of_a_tone["spectral_bandwidth"] < 100
    assert of_a_tone["spectral_flatness"] < 1e-3
    slope, constant = of_a_tone["poly_features"]
    assert slope < 0 < constant


def test_the_chroma_of_a_tone(of_a_tone):
    for group in ("chroma_cqt", "chroma_cens"):
        assert of_a_tone[group].argmax() == 9  # A, from C on
    assert np.hypot(*of_a_tone["tonnetz"][:2]) == pytest.approx(1, abs=0.2)  # one pitch class: on the circle of fifths


def test_noise_is_flat():
    noise = np.random.default_rng(0).normal(scale=0.1, size=RATE).astype(np.float32)
    settings = FeatureSettings(groups=("spectral_flatness", "spectral_centroid"))
    flatness, centroid = extract(noise, settings)[:, 5:-5].mean(axis=1)
    assert flatness > 0.3
    assert centroid == pytest.approx(RATE / 4, rel=0.05)


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("n_samples", [1, 3000, 2 * RATE])
@pytest.mark.parametrize("sizes", [{}, {"n_fft": 1024, "hop_length": 441}, {"sample_rate": 16000, "tuning": 0.0}])
def test_silence_has_finite_features_of_as_many_frames_as_ours_and_no_warning(n_samples, sizes):
    settings = replace(SETTINGS, groups=(*LIBROSA_ONLY, "rms"), **sizes)
    features = extract(np.zeros(n_samples, dtype=np.float32), settings)
    assert features.shape[0] == settings.n_features
    assert np.isfinite(features).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            FeatureSettings(groups=("mfcc", "tonnetz")),
            r"^features.groups has 'tonnetz', which needs librosa, which is not inst.*ser\[train\]",
        ),
        (
            FeatureSettings(backend="librosa"),
            r"^features.backend is 'librosa', which needs librosa, which is not inst.*ser\[train\]",
        ),
    ],
)
def test_without_librosa_one_sentence_names_what_needs_it(settings, message, monkeypatch, voice_file):
    monkeypatch.setitem(sys.modules, "librosa", None)  # as if it were not installed
    extract(tone(440.0), FeatureSettings())
    with pytest.raises(SettingsError, match=message):
        try_load_features(("voice", voice_file), settings=settings)
