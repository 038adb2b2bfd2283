"""The augmentation of a training waveform: what is drawn, how strongly, and that nothing else moves it."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import ser.augment.waveform
from ser.augment.waveform import AugmentSettings, add_noise, augment, code_by_opus, recording_rng, shift_time
from ser.errors import SettingsError

RATE = 22050
CALM = AugmentSettings(noise_factor=0.0, stretch_low=1.0, stretch_high=1.0, shift_seconds=0.0, pitch_semitones=0.0)


@pytest.fixture
def waveform():
    return np.random.default_rng(5).normal(scale=0.1, size=RATE // 2).astype(np.float32)


@pytest.fixture
def draw(monkeypatch, waveform):
    """A function: settings -> the changes of each of many copies, as (name, strength), which are not made."""
    strengths = {"add_noise": "factor", "time_stretch": "rate", "shift_time": "samples", "pitch_shift": "semitones"}
    changes = []

    def record(waveform, *, name, **arguments):
        changes.append((name, arguments[strengths[name]]))
        return waveform

    def draw_copies(settings, *, times=400):
        for copy in range(times):
            changes.clear()
            augment(waveform, settings, sample_rate=RATE, rng=recording_rng(seed=0, name="x", copy=copy))
            yield list(changes)

    for name in strengths:
        monkeypatch.setattr(ser.augment.waveform, name, partial(record, name=name))
    return draw_copies


def test_one_to_three_different_changes_in_any_order(draw):
    copies = [[name for name, _ in copy] for copy in draw(AugmentSettings())]
    assert all(len(set(copy)) == len(copy) for copy in copies)
    counts = Counter(len(copy) for copy in copies)
    assert set(counts) == {1, 2, 3}
    assert min(counts.values()) > 100
    assert len({tuple(copy) for copy in copies if len(copy) == 2}) == 12


def test_strengths_fill_their_ranges(draw):
    changes = [change for copy in draw(AugmentSettings()) for change in copy]
    strengths = {name: np.array([value for which, value in changes if which == name]) for name, _ in changes}
    assert set(strengths["add_noise"]) == {0.035}
    for name, low, high in (("time_stretch", 0.8, 1.2), ("shift_time", -2 * RATE, 2 * RATE), ("pitch_shift", -1, 1)):
        margin = 0.05 * (high - low)
        assert low <= strengths[name].min() < low + margin, name
        assert high - margin < strengths[name].max() <= high, name


def test_the_notebooks_settings(draw):
    """It scaled the noise by a further random factor, and shifted by at most 2,000 samples."""
    settings = AugmentSettings(noise_random_scale=True, shift_seconds=2000 / RATE)
    changes = [change for copy in draw(settings) for change in copy]
    noise = [value for name, value in changes if name == "add_noise"]
    shift = [abs(value) for name, value in changes if name == "shift_time"]
    assert 0 <= min(noise) < 0.002 < 0.033 < max(noise) < 0.035
    assert 1900 < max(shift) <= 2000


def test_all_four_and_none(draw):
    assert {len(copy) for copy in draw(AugmentSettings(min_steps=4, max_steps=4), times=10)} == {4}
    assert {len(copy) for copy in draw(AugmentSettings(min_steps=0, max_steps=0), times=10)} == {0}


def test_changes_of_no_strength_change_nothing(waveform):
    settings = replace(CALM, min_steps=4, max_steps=4)
    changed = augment(waveform, settings, sample_rate=RATE, rng=recording_rng(seed=1, name="x", copy=0))
    np.testing.assert_allclose(changed[:-1024], waveform[:-1024], rtol=0, atol=1e-6)  # no frame is centred on the end


def test_a_copy_depends_on_seed_name_and_copy_alone(waveform):
    def made(**which):
        rng = recording_rng(**{"seed": 3, "name": "03-01-05-01-02-01-12", "copy": 0} | which)
        return augment(waveform, AugmentSettings(), sample_rate=RATE, rng=rng)

    first = made()
    np.testing.assert_array_equal(made(), first)
    for which in ({"seed": 4}, {"name": "03-01-05-01-02-01-13"}, {"copy": 1}):
        other = made(**which)
        assert other.shape != first.shape or not np.allclose(other, first), which


def test_the_generator_is_the_same_in_another_process():
    """Python's own hash of a text differs from process to process."""
    code = "import ser.augment.waveform as w; print(w.recording_rng(seed=0, name='a', copy=2).integers(1 << 60))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == recording_rng(seed=0, name="a", copy=2).integers(1 << 60)


def test_what_comes_out(waveform):
    before = waveform.copy()
    for copy in range(12):
        rng = recording_rng(seed=0, name="x", copy=copy)
        changed = augment(waveform, AugmentSettings(), sample_rate=RATE, rng=rng)
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert len(waveform) / 1.2 - 1 <= len(changed) <= len(waveform) / 0.8 + 1
        assert not np.shares_memory(changed, waveform)
    np.testing.assert_array_equal(waveform, before)


def test_noise_is_gaussian_and_relative_to_the_largest_amplitude():
    waveform = np.zeros(200_000, dtype=np.float32)
    waveform[7] = -0.5
    noise = add_noise(waveform, factor=0.1, rng=np.random.default_rng(0)) - waveform
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(0.05, rel=0.01)
    assert noise.mean() == pytest.approx(0.0, abs=5e-4)
    assert np.mean(np.abs(noise) < 0.05) == pytest.approx(0.6827, abs=0.005)


def test_shift_is_circular():
    np.testing.assert_array_equal(shift_time(np.float32([1, 2, 3, 4]), samples=1), [4, 1, 2, 3])
    np.testing.assert_array_equal(shift_time(np.float32([1, 2, 3, 4]), samples=-6), [3, 4, 1, 2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise_factor": -0.1}, "noise_factor is -0.1"),
        ({"pitch_semitones": float("inf")}, "pitch_semitones is inf"),
        ({"stretch_low": 0.0}, "stretch_low is 0.0, but should be above 0"),
        ({"stretch_low": 1.3}, "stretch_low is 1.3, but should be at most stretch_high, which is 1.2"),
        ({"max_steps": 5}, "max_steps is 5, but should be at most 4"),
        ({"min_steps": 4}, "min_steps is 4, but should be at most max_steps, which is 3"),
    ],
)
def test_settings_out_of_range(changes, message):
    with pytest.raises(SettingsError, match=rf"^AugmentSettings\.{message}"):
        AugmentSettings(**changes)


def test_a_codec_changes_little_and_more_the_harder_it_compresses():
    rate = 16_000
    time = np.arange(2 * rate) / rate
    voice = (0.3 * np.sin(2 * np.pi * 200 * time) * (1 + np.sin(2 * np.pi * 3 * time)) / 2).astype(np.float32)
    noisy = voice + 0.05 * np.random.default_rng(0).standard_normal(len(voice)).astype(np.float32)
    errors = []
    for compression in (0.55, 1.0):
        coded = code_by_opus(noisy, sample_rate=rate, compression=compression)
        assert (coded.shape, coded.dtype) == (noisy.shape, np.float32)
        assert np.corrcoef(coded, noisy)[0, 1] > 0.8
        errors.append(float(np.square(coded - noisy).mean()))
    assert 0 < errors[0] < errors[1]
    only = AugmentSettings(min_steps=0, max_steps=0, codec=1.0)
    first, again = (augment(noisy, only, sample_rate=rate, rng=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - noisy).max() > 1e-3
    with pytest.raises(SettingsError, match=r"sample_rate is 22050, but augment\.codec needs one of 8000, 12000"):
        augment(noisy, only, sample_rate=22050, rng=np.random.default_rng(3))
