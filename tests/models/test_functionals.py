"""The statistics of an utterance against numpy, and that padding has no part in them."""

import numpy as np
import pytest
import torch
from scipy.fft import dct

from ser.models.functionals import N_CONTOUR, N_FUNCTIONALS, band_functionals, contour, functionals
from tests.models.utterances import N_BANDS, utterance

MEAN_PITCH = 2 * 33 + 2 * 32  # after mean and deviation of level, voicing, 16 groups, 15 cepstra, and of their steps


def values_of(statistics, features):
    """Of an utterance without padding: float32 [values]."""
    return statistics(features, torch.tensor([features.shape[2]]), n_bands=N_BANDS)[0].numpy()


def eighths_of(features):
    """Of its contour: float32 [8, cepstra + level, voicing, pitch]."""
    return values_of(contour, features).reshape(8, -1)


def level_of(bands):
    level = 10 * np.log10((10.0 ** (bands / 10)).sum(axis=0))
    return level - level.max()


@pytest.mark.parametrize(
    ("statistics", "n_values"), [(functionals, N_FUNCTIONALS), (band_functionals, 2 * N_BANDS), (contour, N_CONTOUR)]
)
def test_padding_and_neighbours_change_nothing_and_the_shortest_is_finite(statistics, n_values):
    lengths = (0, 1, 2, 5, 37, 80)
    padded = torch.zeros(6, N_BANDS + 2, 80)
    for row, length in zip(padded, lengths, strict=True):
        row[:, :length] = utterance(length, seed=length)[0]
    together = statistics(padded, torch.tensor(lengths), n_bands=N_BANDS)
    assert together.shape == (6, n_values)
    assert torch.isfinite(together).all()
    for values, length in zip(together[1:], lengths[1:], strict=True):
        alone = values_of(statistics, utterance(length, seed=length))
        np.testing.assert_allclose(values, alone, rtol=1e-4, atol=1e-4)


def test_level_pitch_and_cepstra_against_numpy():
    features = utterance(60)
    values = values_of(functionals, features)
    bands, pitch, voicing = np.split(features[0].numpy(), [N_BANDS, N_BANDS + 1])
    level = level_of(bands)
    loud = (level > -35) + 1e-3
    mean = np.average(level, weights=loud)
    np.testing.assert_allclose(values[0], mean, rtol=1e-4)
    np.testing.assert_allclose(values[33], np.sqrt(np.average((level - mean) ** 2, weights=loud)), rtol=1e-4)
    np.testing.assert_allclose(values[2], np.average(bands[:2].mean(axis=0), weights=loud), rtol=1e-4)
    first_cepstrum = dct(bands, axis=0, norm="ortho")[1]
    np.testing.assert_allclose(values[18], np.average(first_cepstrum, weights=loud), rtol=1e-3, atol=1e-3)
    voiced = np.clip((voicing[0] - 0.3) / 0.4, 0, 1) * (level > -35) + 1e-3
    np.testing.assert_allclose(values[MEAN_PITCH], np.average(pitch[0], weights=voiced), rtol=1e-4)


def test_a_higher_voice_changes_the_mean_pitch_and_nothing_else():
    low, high = utterance(60), utterance(60)
    high[:, N_BANDS] += 1
    changes = values_of(functionals, high) - values_of(functionals, low)
    assert np.flatnonzero(np.abs(changes) > 1e-3).tolist() == [MEAN_PITCH]
    assert changes[MEAN_PITCH] == pytest.approx(1, rel=1e-5)


def test_the_slope_of_the_pitch_has_a_sign():
    def rise(slope):
        features = utterance(60)
        features[:, N_BANDS] = 7 + slope * torch.linspace(0, 1, 60)
        return values_of(functionals, features)[-5]

    assert rise(0.5) > 0.01
    assert rise(-0.5) == pytest.approx(-rise(0.5), rel=1e-3, abs=1e-5)


def test_bands_against_numpy():
    features = utterance(60)
    features[0, :, 20:30] = -110  # a pause has no part in it
    bands = features[0, :N_BANDS].numpy()
    weights = (level_of(bands) > -35) + 1e-3
    mean = np.average(bands, axis=1, weights=weights)
    deviation = np.sqrt(np.average((bands - mean[:, np.newaxis]) ** 2, axis=1, weights=weights))
    np.testing.assert_allclose(values_of(band_functionals, features), [*mean, *deviation], rtol=1e-3)


def test_the_contour_against_numpy():
    features = utterance(64)
    bands, pitch, voicing = np.split(features[0].numpy(), [N_BANDS, N_BANDS + 1])
    signals = [*dct(bands, axis=0, norm="ortho")[1:16], level_of(bands), voicing[0]]
    middles = (np.arange(8) + 0.5) * 8
    for eighth, found in zip(middles, eighths_of(features), strict=True):
        weight = np.maximum(0, 1 - np.abs(np.arange(64) + 0.5 - eighth) / 8) + 1e-3
        expected = [np.average(signal, weights=weight) for signal in signals]
        voiced = weight * (np.clip((voicing[0] - 0.3) / 0.4, 0, 1) + 1e-3)
        np.testing.assert_allclose(found, [*expected, np.average(pitch[0], weights=voiced)], rtol=1e-3, atol=1e-3)


def test_silence_around_the_contour_changes_nothing():
    silence = torch.cat([torch.full((1, N_BANDS, 25), -100.0), torch.full((1, 2, 25), 0.1)], dim=1)
    features = torch.cat([silence, utterance(40), silence], dim=2)
    np.testing.assert_allclose(eighths_of(features), eighths_of(utterance(40)), rtol=1e-3, atol=1e-3)


def test_a_rising_pitch_rises_from_eighth_to_eighth():
    features = utterance(80)
    features[0, N_BANDS] = 7 + torch.linspace(0, 1, 80)
    assert (np.diff(eighths_of(features)[:, -1]) > 0).all()
