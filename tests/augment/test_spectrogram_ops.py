"""The arithmetic of the spectrograms' changes, held against numpy and librosa."""

import librosa
import numpy as np
import pytest
import torch

from ser.augment import _spectrogram_ops as ops
from ser.features.extract import extract
from ser.features.settings import FeatureSettings

RATE, HOP_SECONDS, N_BANDS = 22050, 0.02, 64
SIZES = {"sample_rate": RATE, "hop_seconds": HOP_SECONDS}


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


@pytest.mark.parametrize(("rate", "n_bands"), [(22050, 64), (16000, 40), (48000, 128)])
def test_band_edges_are_librosas(rate, n_bands):
    expected = librosa.mel_frequencies(n_bands + 2, fmin=0, fmax=rate / 2)
    np.testing.assert_allclose(ops.band_edges(n_bands, sample_rate=rate), expected, rtol=1e-5)


def test_vtlp_interpolates_between_bands_on_the_mel_scale():
    features = noise(3, N_BANDS, 4)
    alphas = (0.92, 1.0, 1.07)
    mels = np.linspace(0, librosa.hz_to_mel(RATE / 2), N_BANDS + 2)[1:-1]
    warped = ops.vtlp(features, torch.tensor(alphas), sample_rate=RATE)
    for before, alpha, after in zip(features, alphas, warped, strict=True):
        places = librosa.hz_to_mel(alpha * librosa.mel_to_hz(mels))
        for frame in range(4):
            np.testing.assert_allclose(after[:, frame], np.interp(places, mels, before[:, frame]), atol=1e-4)


def test_speed_changes_the_length_by_its_factor():
    lengths = torch.tensor([100, 57, 80, 1])
    rates = torch.tensor([1.15, 0.87, 1.0, 0.9])
    features = noise(4, 8, 100)
    changed, changed_lengths = ops.speed_perturbation(features, lengths, rates, max_length=256)
    assert changed_lengths.tolist() == [87, 66, 80, 1]
    assert changed.shape == (4, 8, 87)
    for before, n_before, after, n_after in zip(features, lengths, changed, changed_lengths, strict=True):
        places = np.linspace(0, int(n_before) - 1, int(n_after))
        expected = [np.interp(places, np.arange(int(n_before)), band[:n_before]) for band in before.numpy()]
        np.testing.assert_allclose(after[:, :n_after], expected, atol=1e-4)


def test_speed_keeps_the_whole_recording_within_the_largest_length():
    features = noise(1, 8, 90)
    changed, lengths = ops.speed_perturbation(features, torch.tensor([90]), torch.tensor([0.8]), max_length=100)
    assert lengths.tolist() == [100]
    torch.testing.assert_close(changed[:, :, 99], features[:, :, 89])


def test_reverberation_is_a_convolution_with_an_exponential():
    power = noise(2, 3, 50).square()
    t60, late_energy = (0.2, 0.7), (0.1, 0.5)
    reverberated = ops.reverberate(
        power, t60=torch.tensor(t60), late=torch.tensor(late_energy), hop_seconds=HOP_SECONDS
    )
    for before, seconds, energy, after in zip(power, t60, late_energy, reverberated, strict=True):
        late = 10 ** (-6 * HOP_SECONDS / seconds * np.arange(5000))
        kernel = np.concatenate(([1], energy * late / late.sum()))
        for band in range(3):
            np.testing.assert_allclose(after[band], np.convolve(before[band], kernel)[:50], rtol=1e-4)


def test_noise_fluctuates_as_the_bands_of_gaussian_noise_do():
    settings = FeatureSettings(sample_rate=RATE, n_fft=1024, hop_length=441, n_mels=N_BANDS, groups=("mel",))
    true = extract(noise(20 * RATE).numpy(), settings)[:, 3:-3]
    n_frames = true.shape[1]
    power, normal = torch.full((1, N_BANDS, n_frames), 1e-9), noise(1, N_BANDS, n_frames, seed=1)
    drawing = {"snr": torch.tensor([-90.0]), "spectrum": torch.zeros(1, N_BANDS), "normal": normal}
    drawn = ops.add_noise(power, torch.tensor([n_frames]), **drawing, **SIZES)[0].numpy()
    true_deviation, deviation = true.std(axis=1) / true.mean(axis=1), drawn.std(axis=1) / drawn.mean(axis=1)
    assert true_deviation[0] > 2.5 * true_deviation[-1]
    np.testing.assert_allclose(deviation, true_deviation, rtol=0.25)
    np.testing.assert_allclose(drawn.mean(axis=1), drawn.mean(), rtol=0.1)


def test_noise_is_measured_from_a_recordings_own_loud_frames():
    power = 10 ** (noise(2, N_BANDS, 80) / 2)
    lengths = torch.tensor([80, 33])
    normal = noise(2, N_BANDS, 80, seed=2)
    spectrum = torch.full((2, N_BANDS), -10 * np.log10(N_BANDS))
    added = (
        ops.add_noise(power, lengths, snr=torch.tensor([7.0, 12.0]), spectrum=spectrum, normal=normal, **SIZES) - power
    )
    for row, (n, snr) in enumerate(((80, 7), (33, 12))):
        loud = np.percentile(10 * np.log10(power[row, :, :n].numpy().sum(axis=0)), 95)
        assert 10 * np.log10(added[row].numpy().sum(axis=0).mean()) == pytest.approx(loud - snr, abs=0.3)


@pytest.mark.parametrize("n_frames", [1, 2, 11, 50])
def test_the_typical_level_is_the_90th_percentile_without_padding(n_frames):
    power = noise(3, 8, 50).square()
    lengths = torch.tensor([n_frames, 50, 7])
    levels = 10 * np.log10(power.numpy().sum(axis=1))
    expected = [np.percentile(row[:n], 90) for row, n in zip(levels, lengths, strict=True)]
    np.testing.assert_allclose(ops.level_quantile(power, lengths), expected, atol=1e-4)


def test_a_frame_on_the_floor_is_not_taken_for_padding():
    """80 dB are reached, so that the floor is 0 dB, and a frame lies on it throughout."""
    power = torch.full((1, 4, 12), 1e8)
    power[:, :, 3] = 1e-6
    lengths = torch.tensor([10])
    decibels = ops.to_decibels(power, lengths, level=ops.level_quantile(power, lengths))
    assert (decibels == 0).all(dim=1)[0].tolist() == [False] * 10 + [True] * 2
    torch.testing.assert_close(decibels[0, :, 3], torch.zeros(4), rtol=0, atol=1e-5)
