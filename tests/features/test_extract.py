"""The fast way against librosa, group by group, on signals that reach the edges of each definition."""

import re
import subprocess
import sys
from dataclasses import replace

import librosa
import numpy as np
import pytest

from ser.audio.folder import find_sound_files
from ser.audio.io import read_sound
from ser.errors import SettingsError
from ser.features import compiled
from ser.features._tuning import estimate_tuning
from ser.features.extract import extract, fit_length
from ser.features.groups import FeatureGroup
from ser.features.settings import FeatureSettings, feature_names, rows_of

RATE = 22050
ALL = FeatureSettings(groups=(*FeatureSettings().groups, "rms", "logmel"))
EXACT = ("chroma", "zcr", "contrast")
TOLERANCE = {"mfcc": 3e-7, "delta": 1e-7, "delta2": 1e-7, "mel": 2.4e-7, "logmel": 3e-7, "rms": 5e-7}
"""Largest difference, as a fraction of the group's largest value in the recording (for the deltas, of the MFCC's).

Two steps of a 32-bit number are 2.4e-7: sums of products are rounded otherwise by each kind of processor.
"""


@pytest.fixture(autouse=True)
def by_numpy(monkeypatch):
    """Take numpy's transform, whatever the tests before have loaded."""
    monkeypatch.setattr(compiled, "_LOADED", [])


def assert_equals_librosa(y, settings=ALL):
    before = y.copy()
    features = extract(y, settings)
    np.testing.assert_array_equal(y, before)
    assert features.dtype == np.float32
    assert features.shape == (settings.n_features, 1 + len(y) // settings.hop_length)
    assert np.isfinite(features).all()
    theirs = extract(y, replace(settings, backend="librosa"))
    places = rows_of(settings)
    for group, rows in places.items():
        if group in EXACT:
            np.testing.assert_array_equal(features[rows], theirs[rows], err_msg=group)
        else:
            scale = theirs[places["mfcc"] if group in ("delta", "delta2") else rows]
            atol = TOLERANCE[group] * np.abs(scale).max()
            np.testing.assert_allclose(features[rows], theirs[rows], rtol=0, atol=atol, err_msg=group)


def noise(seconds=1.5, rate=RATE, seed=0):
    return np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * rate)).astype(np.float32)


def chord(seconds=1.5, rate=RATE, cents=0):
    time = np.arange(round(seconds * rate)) / rate
    pitches = np.array([261.63, 329.63, 440.0]) * 2 ** (cents / 1200)
    return (0.2 * np.sin(2 * np.pi * pitches[:, None] * time).sum(axis=0)).astype(np.float32)


def speech_like(seconds=3.0, rate=RATE, seed=1):
    """A gliding harmonic voice with pauses of digital silence and a little noise while it sounds."""
    time = np.arange(round(seconds * rate)) / rate
    pitch = 140 + 60 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 20)) * (np.sin(2 * np.pi * 1.3 * time) > -0.3)
    grain = np.random.default_rng(seed).normal(scale=0.01, size=len(time)) * (voice != 0)
    return (0.1 * voice + grain).astype(np.float32)


SIGNALS = {
    "noise": noise(),
    "chord": chord(),
    "chord 30 cents sharp": chord(cents=30),
    "speech-like": speech_like(),
    "silence": np.zeros(RATE, dtype=np.float32),
    "constant": np.full(RATE, 0.25, dtype=np.float32),
    "constant below the threshold of a crossing": np.full(RATE, -1e-11, dtype=np.float32),
    "at the threshold of a crossing": np.tile(np.float32([0.1, -1e-10]), RATE // 2),
    "faint": noise() * np.float32(1e-6),
    "alternating sign": np.tile(np.float32([0.1, -0.1]), RATE // 2),
    "one click": np.eye(1, RATE, 5000, dtype=np.float32)[0],
    "0.2 s": noise(0.2),
    "9 frames": noise()[:4096],
    "a multiple of the hop": noise()[: 512 * 40],
    "20 s": speech_like(20.0),
}


@pytest.mark.parametrize("signal", SIGNALS)
def test_every_group_equals_librosa(signal):
    assert_equals_librosa(SIGNALS[signal])


def assert_compiled_loops_change_no_bit(y, settings=ALL):
    by_numpy = extract(y, settings)
    compiled.load_compiled()
    np.testing.assert_array_equal(extract(y, settings), by_numpy)


@pytest.mark.parametrize("signal", SIGNALS)
def test_compiled_loops_change_no_bit(signal):
    assert_compiled_loops_change_no_bit(SIGNALS[signal])


SIZES = pytest.mark.parametrize(
    "changes",
    [
        {"n_mels": 64, "n_mfcc": 20},
        {"hop_length": 256},
        {"hop_length": 300, "n_fft": 1024},
        {"sample_rate": 16000, "n_fft": 1024},
        {"sample_rate": 48000},
        {"n_chroma": 24, "n_bands": 4},
        {"tuning": 0.17},
        {"sample_rate": 8000, "n_fft": 512, "n_bands": 3},
    ],
    ids=str,
)


@SIZES
def test_other_settings_equal_librosa(changes):
    settings = replace(ALL, **changes)
    assert_equals_librosa(speech_like(1.0, rate=settings.sample_rate), settings)


@SIZES
def test_compiled_loops_of_other_settings_change_no_bit(changes):
    settings = replace(ALL, **changes)
    assert_compiled_loops_change_no_bit(speech_like(1.0, rate=settings.sample_rate), settings)


@pytest.mark.parametrize("n_fft", [2, 6, 14, 16, 128, 512])
def test_compiled_loops_of_short_frames_change_no_bit(n_fft):
    settings = FeatureSettings(groups=("chroma", "zcr", "rms"), n_fft=n_fft, hop_length=100)
    assert_compiled_loops_change_no_bit(speech_like(0.5), settings)


@pytest.mark.ravdess
def test_recordings_equal_librosa(ravdess_root):
    paths = find_sound_files(ravdess_root)
    chosen = paths[:: max(len(paths) // 24, 1)][:24]
    assert {path.stem[3:5] for path in chosen} == {path.stem[3:5] for path in paths} != set()
    for path in chosen:
        y = read_sound(path, sample_rate=RATE).waveform
        assert_equals_librosa(y)
        assert_compiled_loops_change_no_bit(y)
        compiled._LOADED.clear()


def test_tuning_of_a_detuned_chord_and_of_silence():
    y = chord(cents=30)
    power = np.ascontiguousarray(np.abs(librosa.stft(y)).T ** 2)
    sizes = {"sample_rate": RATE, "n_fft": 2048, "n_chroma": 12}
    assert estimate_tuning(power, **sizes) == pytest.approx(0.30, abs=0.05)
    assert estimate_tuning(np.zeros_like(power), **sizes) == 0.0


def test_groups_come_in_the_order_asked_for_and_do_not_depend_on_the_others():
    y = speech_like(1.0)
    settings = replace(ALL, groups=(*ALL.groups, "pitch"))
    everything = dict(zip(feature_names(settings), extract(y, settings), strict=True))
    for groups in (("rms", "delta2"), ("zcr",), ("contrast", "chroma"), ("mel", "delta"), ("logmel", "pitch")):
        settings = FeatureSettings(groups=groups)
        names, features = feature_names(settings), extract(y, settings)
        assert len(names) == settings.n_features == len(features)
        for name, row in zip(names, features, strict=True):
            np.testing.assert_array_equal(row, everything[name], err_msg=name)


def test_deltas_are_those_of_the_whole_recording():
    """Padding would otherwise put an edge into the last deltas."""
    y = noise(1.0)
    features = fit_length(extract(y, FeatureSettings()), 216)
    assert not features[:, 44:].any()
    np.testing.assert_array_equal(features[:, :44], extract(y, FeatureSettings()))
    cut = fit_length(features, 40)
    assert cut.dtype == np.float32
    np.testing.assert_array_equal(cut, features[:, :40])


@pytest.mark.parametrize("shape", [(0,), (2, 5000)])
def test_waveforms_without_features(shape):
    with pytest.raises(ValueError, match=re.escape(f"shape {shape}")):
        extract(np.zeros(shape, dtype=np.float32), ALL)


def test_a_short_waveform_is_followed_by_silence():
    short = noise(0.01)
    assert np.array_equal(extract(short, ALL), extract(np.pad(short, (0, 4096 - len(short))), ALL))
    assert extract(short, ALL).shape == (316, 9)


def test_importing_features_needs_no_librosa():
    heavy = "{'librosa', 'numba', 'torch', 'scipy'}"
    code = f"import sys, ser.features.extract, ser.augment.waveform; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def peaks(analysis):
    return np.abs(analysis.waveform).max() * np.ones(len(analysis.power))


OWN = {
    "bins": FeatureGroup("power", lambda settings: 3, fast=lambda analysis: analysis.power[:, 4:7].T),
    "peak": FeatureGroup("full scale: 1", fast=peaks),
    "by_librosa": FeatureGroup("Hz", librosa=lambda analysis: analysis.feature.spectral_centroid(**analysis.spectrum)),
}


def test_groups_of_ones_own_lie_between_ours():
    y = chord()
    own = FeatureSettings(groups=("zcr", "bins", "rms", "peak", "by_librosa"), own_groups=OWN)
    features, ours = extract(y, own), extract(y, FeatureSettings(groups=("zcr", "rms", "spectral_centroid")))
    np.testing.assert_array_equal(features[[0, 4, 6]], ours)
    power = np.abs(librosa.stft(y)) ** 2
    np.testing.assert_allclose(features[1:4], power[4:7], rtol=1e-3, atol=1e-5 * power.max())
    np.testing.assert_allclose(features[5], np.abs(y).max(), rtol=1e-6)


@pytest.mark.parametrize(
    ("group", "shape"),
    [
        # Each of these numpy would repeat over the rows or the frames, without a word.
        (FeatureGroup("1", lambda settings: 3, fast=peaks), r"values of shape \[65\]"),
        (FeatureGroup("1", lambda settings: 3, fast=lambda a: peaks(a)[np.newaxis]), r"values of shape \[1, 65\]"),
        (FeatureGroup("1", fast=lambda analysis: np.array(0.5)), r"values of shape \[\]"),
        (FeatureGroup("1", lambda settings: 3, fast=lambda analysis: np.ones((3, 1))), r"values of shape \[3, 1\]"),
        (FeatureGroup("1", fast=lambda analysis: None), r"None, but should give values of shape \[1, 65\]"),
    ],
)
def test_a_group_that_gives_another_shape_than_it_says_is_an_error(group, shape):
    settings = FeatureSettings(groups=("zcr", "odd"), own_groups={"odd": group})
    with pytest.raises(SettingsError, match=rf"feature group 'odd' gave {shape}"):
        extract(chord(), settings)
