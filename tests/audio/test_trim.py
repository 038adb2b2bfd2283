import numpy as np
import pytest

from ser.audio.trim import trim_and_level

RATE = 22050
HOP = 441
SETTINGS = {"sample_rate": RATE, "block_length": HOP, "trim": True, "level_db": -20.0}
OFF = {"sample_rate": RATE, "block_length": 512, "trim": False, "level_db": None}


def tone(seconds, *, amplitude):
    return (amplitude * np.sqrt(2) * np.sin(2 * np.pi * 300 * np.arange(round(seconds * RATE)) / RATE)).astype("f4")


def noise(seconds, *, amplitude, seed=0):
    return (amplitude * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype("f4")


def with_silences(voice, *, before, after, noise_level=1e-5):
    sound = np.concatenate([np.zeros(round(before * RATE)), voice, np.zeros(round(after * RATE))])
    return sound.astype(np.float32) + noise(len(sound) / RATE, amplitude=noise_level)


def test_neither_asked_for_changes_nothing():
    sound = with_silences(tone(1, amplitude=0.1), before=1, after=1)
    waveform, start = trim_and_level(sound, **OFF)
    assert waveform is sound
    assert start == 0


@pytest.mark.parametrize("noise_level", [1e-5, 0.1 * 10 ** (-20 / 20)])
def test_silence_goes_and_the_voice_with_its_margin_stays(noise_level):
    sound = with_silences(tone(1, amplitude=0.1), before=1.0, after=0.7, noise_level=noise_level)
    waveform, start = trim_and_level(sound, **SETTINGS)
    assert 0.85 * RATE <= start <= 0.92 * RATE
    assert 2.08 * RATE <= start + len(waveform) <= 2.15 * RATE
    kept = sound[start : start + len(waveform)]
    np.testing.assert_allclose(waveform, kept * (waveform @ kept / (kept @ kept)), rtol=1e-5)


def test_a_pause_within_the_voice_stays():
    voice = np.concatenate([tone(0.5, amplitude=0.1), np.zeros(RATE, dtype=np.float32), tone(0.5, amplitude=0.1)])
    assert len(trim_and_level(with_silences(voice, before=1, after=1), **SETTINGS)[0]) >= len(voice)


@pytest.mark.parametrize("gain", [10 ** (-12 / 20), 1.0, 10 ** (12 / 20)])
def test_every_gain_gives_the_same_waveform_at_the_wanted_level(gain):
    sound = with_silences(tone(1, amplitude=0.05), before=0.5, after=0.5, noise_level=1e-4)
    waveform, _ = trim_and_level(sound * np.float32(gain), **SETTINGS)
    np.testing.assert_allclose(waveform, trim_and_level(sound, **SETTINGS)[0], atol=2e-6)
    middle = waveform[RATE // 4 : RATE // 4 + 25 * HOP]
    assert 10 * np.log10(np.mean(np.square(middle))) == pytest.approx(-20, abs=0.1)


def test_trimming_and_levelling_are_apart():
    sound = with_silences(tone(1, amplitude=0.05), before=0.5, after=0.5)
    levelled, start = trim_and_level(sound, **OFF | {"level_db": -26.0})
    assert len(levelled) == len(sound)
    assert start == 0
    trimmed, start = trim_and_level(sound, **OFF | {"trim": True})
    np.testing.assert_array_equal(trimmed, sound[start : start + len(trimmed)])


@pytest.mark.parametrize("sound", [np.zeros(RATE), np.full(100, 0.1), noise(1, amplitude=0.1)])
def test_nothing_to_trim_leaves_sound(sound):
    waveform, _ = trim_and_level(sound.astype(np.float32), **SETTINGS)
    assert np.isfinite(waveform).all()
    assert len(waveform) > 0.7 * len(sound)
