import numpy as np
import pytest

from ser.audio.io import read_sound
from ser.augment.waveform import recording_rng
from ser.corpora.reading import find_recordings
from ser.evaluation.robustness.sound_changes import CHANGES, change, draw_rir, load_changed_features, speech_power
from ser.features.pipeline import network_input, preprocess
from ser.features.settings import FeatureSettings

RATE = 22050


def decibels(power):
    return 10 * np.log10(power)


def power_between(waveform, low, high):
    """The power of a waveform between two frequencies, by its periodogram."""
    spectrum = np.abs(np.fft.rfft(waveform.astype(np.float64))) ** 2
    frequencies = np.fft.rfftfreq(len(waveform), 1 / RATE)
    return spectrum[(frequencies >= low) & (frequencies < high)].sum()


@pytest.mark.parametrize(("by", "step"), [("louder", 12), ("softer", -12)])
def test_gain_is_exact_and_never_clips(voice, by, step):
    full_scale = voice / np.abs(voice).max()
    changed = change(full_scale, by, sample_rate=RATE, name="a")
    np.testing.assert_allclose(changed, full_scale * 10 ** (step / 20), rtol=1e-6)


@pytest.mark.parametrize("snr", [20, 10])
@pytest.mark.parametrize("pause", [0.0, 1.5])
def test_noise_lies_as_far_below_the_speech_as_asked_whatever_the_pauses(snr, pause):
    # A tone that is as long as the pause at most: exactly the loudest half, or all.
    seconds = np.arange(int(1.5 * RATE)) / RATE
    tone = 0.1 * np.sin(2 * np.pi * 1000 * seconds)
    waveform = np.concatenate([tone, np.zeros(int(pause * RATE))]).astype(np.float32)
    noise = change(waveform, f"noise_{snr}_db", sample_rate=RATE, name="a") - waveform
    assert decibels(0.1**2 / 2 / np.mean(noise.astype(float) ** 2)) == pytest.approx(snr, abs=0.1)
    low, high = power_between(noise, 100, 1100), power_between(noise, 8000, 9000)
    assert decibels(low / high) == pytest.approx(0, abs=0.5)


def test_the_level_of_speech_is_that_of_the_loudest_half_of_the_blocks():
    block = round(0.02 * RATE)
    waveform = np.repeat(np.float32([0.1, 0.4, 0.2, 0.0]), block)
    assert speech_power(waveform, sample_rate=RATE) == pytest.approx((0.4**2 + 0.2**2) / 2)


def test_the_telephone_passes_its_band_and_nothing_else():
    noise = np.random.default_rng(1).standard_normal(4 * RATE).astype(np.float32)
    passed = change(noise, "telephone", sample_rate=RATE, name="a")

    def attenuation(low, high):
        return decibels(power_between(passed, low, high) / power_between(noise, low, high))

    assert attenuation(500, 2800) == pytest.approx(0, abs=0.2)
    # An octave and more away, where the edges' own slopes of 24 dB an octave have had room.
    assert attenuation(20, 150) < -22
    assert attenuation(6800, 11000) < -22
    # The edges themselves are 3 dB down.
    assert attenuation(295, 305) == pytest.approx(-3, abs=0.7)
    assert attenuation(3390, 3410) == pytest.approx(-3, abs=0.7)


def test_the_room_decays_in_its_time_and_has_its_fraction_of_direct_sound():
    response = draw_rir(sample_rate=RATE, rng=np.random.default_rng(2))
    assert response[0] == 1
    assert decibels(1 / np.sum(response[1:] ** 2)) == pytest.approx(5)
    # Schroeder 1965: the energy still to come, in dB, falls on a straight line; T30 is read from -5 to -35 dB.
    to_come = np.cumsum(response[:0:-1] ** 2)[::-1]
    curve = decibels(to_come / to_come[0])
    seconds = np.arange(1, len(response)) / RATE
    straight = (curve <= -5) & (curve >= -35)
    slope = np.polyfit(seconds[straight], curve[straight], 1)[0]
    assert -60 / slope == pytest.approx(0.3, rel=0.05)


def test_a_room_answers_a_click_with_its_response_and_comes_no_earlier():
    click = np.zeros(RATE, dtype=np.float32)
    click[1000] = 0.5
    response = draw_rir(sample_rate=RATE, rng=recording_rng(seed=0, name="a/rir", copy=0))
    expected = np.concatenate([np.zeros(1000), 0.5 * response, np.zeros(RATE - 1000 - len(response))])
    np.testing.assert_allclose(change(click, "rir", sample_rate=RATE, name="a"), expected, atol=1e-6)


def test_changes_follow_from_the_names_alone_and_leave_the_waveform_alone(voice):
    before = voice.copy()
    seen = {}
    for by in CHANGES:
        first, again, other = (change(voice, by, sample_rate=RATE, name=name) for name in ("a", "a", "b"))
        assert (first.dtype, len(first)) == (np.float32, len(voice))
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first, again)
        assert np.array_equal(first, other) == (by not in ("noise_20_db", "noise_10_db", "rir"))
        assert not np.allclose(first, voice, atol=1e-4)
        seen[by] = first
    # Noise of two levels is not the same noise twice.
    quiet, loud = seen["noise_20_db"] - voice, seen["noise_10_db"] - voice
    assert abs(np.corrcoef(quiet, loud)[0, 1]) < 0.02
    np.testing.assert_array_equal(voice, before)


def test_features_are_of_the_unchanged_sound_first_and_then_of_each_change(tiny_corpus):
    recording = find_recordings(tiny_corpus)[0]
    settings = FeatureSettings(max_length=40, trim=True, level_db=-20.0)
    features, lengths = load_changed_features(recording, settings=settings)
    assert features.shape == (1 + len(CHANGES), settings.n_features, 40)
    unchanged = read_sound(recording.path, sample_rate=RATE).waveform
    expected, length = network_input(preprocess(unchanged, settings)[0], settings)
    np.testing.assert_array_equal(features[0], expected)
    assert lengths[0] == length
    # Level normalisation takes a gain away, and no noise.
    rows = slice(0, 13)
    np.testing.assert_allclose(features[1, rows], features[0, rows], atol=1e-2)
    assert np.abs(features[4, rows] - features[0, rows]).max() > 5
    # Changed first, trimmed and levelled afterwards.
    waveform = read_sound(recording.path, sample_rate=RATE).waveform
    changed = change(waveform, "telephone", sample_rate=RATE, name=recording.id)
    expected, length = network_input(preprocess(changed, settings)[0], settings)
    np.testing.assert_array_equal(features[5], expected)
    assert lengths[5] == length
