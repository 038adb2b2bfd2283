"""The statistics of an utterance against numpy, and that padding has no part in them."""

import numpy as np
import pytest
import torch
from scipy.fft import dct

from ser.models.functionals import N_CONTOUR, N_FUNCTIONALS, band_functionals, contour, functionals

N_BANDS = 32


def utterance(n_frames, *, seed=0):
    """A made-up voice: float32 [1, bands + 2, frames]."""
    draw = torch.Generator().manual_seed(seed)
    bands = -40 + 12 * torch.randn(1, N_BANDS, n_frames, generator=draw)
    pitch = 7 + 0.05 * torch.randn(1, 1, n_frames, generator=draw).cumsum(dim=2)
    voicing = torch.rand(1, 1, n_frames, generator=draw)
    return torch.cat([bands, pitch, voicing], dim=1)


def test_there_are_as_many_as_documented_and_all_are_finite():
    values = functionals(utterance(50), torch.tensor([50]), n_bands=N_BANDS)
    assert values.shape == (1, N_FUNCTIONALS)
    assert torch.isfinite(values).all()


def test_padding_changes_nothing():
    short, long = utterance(37), torch.zeros(2, N_BANDS + 2, 80)
    long[0, :, :37] = short
    long[1] = utterance(80, seed=1)
    together = functionals(long, torch.tensor([37, 80]), n_bands=N_BANDS)
    torch.testing.assert_close(
        together[:1], functionals(short, torch.tensor([37]), n_bands=N_BANDS), rtol=1e-4, atol=1e-4
    )


def test_level_pitch_and_cepstra_against_numpy():
    features = utterance(60)
    values = functionals(features, torch.tensor([60]), n_bands=N_BANDS)[0].numpy()
    bands, pitch, voicing = (
        features[0, :N_BANDS].numpy(),
        features[0, N_BANDS].numpy(),
        features[0, N_BANDS + 1].numpy(),
    )
    level = 10 * np.log10((10.0 ** (bands / 10)).sum(axis=0))
    level -= level.max()
    loud = (level > -35) + 1e-3
    mean = np.average(level, weights=loud)
    deviation = np.sqrt(np.average((level - mean) ** 2, weights=loud))
    np.testing.assert_allclose(values[0], mean, rtol=1e-4)
    np.testing.assert_allclose(values[33], deviation, rtol=1e-4)  # after means of level, voicing, 16 groups, 15 cepstra
    np.testing.assert_allclose(values[2], np.average(bands[:2].mean(axis=0), weights=loud), rtol=1e-4)
    cosines = np.sqrt(2 / N_BANDS) * np.cos(np.pi * (np.arange(N_BANDS) + 0.5) / N_BANDS)
    np.testing.assert_allclose(values[18], np.average(cosines @ bands, weights=loud), rtol=1e-3, atol=1e-3)
    voiced = np.clip((voicing - 0.3) / 0.4, 0, 1) * (level > -35) + 1e-3
    np.testing.assert_allclose(values[2 * 33 + 2 * 32], np.average(pitch, weights=voiced), rtol=1e-4)


def test_a_higher_voice_changes_the_mean_pitch_and_nothing_else():
    low, high = utterance(60), utterance(60)
    high[:, N_BANDS] += 1
    values = [functionals(one, torch.tensor([60]), n_bands=N_BANDS)[0] for one in (low, high)]
    changed = ((values[1] - values[0]).abs() > 1e-3).nonzero()[:, 0].tolist()
    assert changed == [2 * 33 + 2 * 32]
    torch.testing.assert_close(values[1][changed], values[0][changed] + 1)


def test_the_slope_of_the_pitch_has_a_sign():
    def rise(slope):
        features = utterance(60)
        features[:, N_BANDS] = 7 + slope * torch.linspace(0, 1, 60)
        return functionals(features, torch.tensor([60]), n_bands=N_BANDS)[0, -5]

    assert rise(0.5) > 0.01
    torch.testing.assert_close(rise(-0.5), -rise(0.5), rtol=1e-3, atol=1e-5)


def test_no_frames_give_finite_numbers():
    values = functionals(torch.zeros(1, N_BANDS + 2, 20), torch.tensor([0]), n_bands=N_BANDS)
    assert torch.isfinite(values).all()


def test_bands_against_numpy():
    features = utterance(60)
    features[0, :, 20:30] = -110  # a pause has no part in it
    bands = features[0, :N_BANDS].numpy()
    level = 10 * np.log10((10.0 ** (bands / 10)).sum(axis=0))
    weights = (level - level.max() > -35) + 1e-3
    mean = np.average(bands, axis=1, weights=weights)
    deviation = np.sqrt(np.average((bands - mean[:, np.newaxis]) ** 2, axis=1, weights=weights))
    values = band_functionals(features, torch.tensor([60]), n_bands=N_BANDS)[0].numpy()
    np.testing.assert_allclose(values, np.concatenate([mean, deviation]), rtol=1e-3)


def eighths(features):
    """Float [8, cepstra + level, voicing, pitch] of an utterance without padding."""
    values = contour(features, torch.tensor([features.shape[2]]), n_bands=N_BANDS)
    assert values.shape == (1, N_CONTOUR)
    return values.reshape(8, -1).numpy()


def test_the_contour_against_numpy():
    features = utterance(64)
    bands, pitch, voicing = np.split(features[0].numpy(), [N_BANDS, N_BANDS + 1])
    level = 10 * np.log10((10.0 ** (bands / 10)).sum(axis=0))
    signals = [*dct(bands, axis=0, norm="ortho")[1:16], level - level.max(), voicing[0]]
    middles = (np.arange(8) + 0.5) * 8
    for eighth, found in zip(middles, eighths(features), strict=True):
        weight = np.maximum(0, 1 - np.abs(np.arange(64) + 0.5 - eighth) / 8) + 1e-3
        expected = [np.average(signal, weights=weight) for signal in signals]
        voiced = weight * (np.clip((voicing[0] - 0.3) / 0.4, 0, 1) + 1e-3)
        np.testing.assert_allclose(found, [*expected, np.average(pitch[0], weights=voiced)], rtol=1e-3, atol=1e-3)


def test_silence_around_the_contour_and_padding_change_nothing():
    spoken = utterance(40)
    silence = torch.cat([torch.full((1, N_BANDS, 25), -100.0), torch.full((1, 2, 25), 0.1)], dim=1)
    features = torch.cat([silence, spoken, silence, torch.zeros(1, N_BANDS + 2, 10)], dim=2)
    values = contour(features, torch.tensor([90]), n_bands=N_BANDS).reshape(8, -1).numpy()
    np.testing.assert_allclose(values, eighths(spoken), rtol=1e-3, atol=1e-3)


def test_a_rising_pitch_rises_from_eighth_to_eighth():
    features = utterance(80)
    features[0, N_BANDS] = 7 + torch.linspace(0, 1, 80)
    assert (np.diff(eighths(features)[:, -1]) > 0).all()


@pytest.mark.parametrize("n_frames", [1, 2, 5])
def test_short_utterances_have_every_eighth(n_frames):
    assert np.isfinite(eighths(utterance(n_frames))).all()


def test_a_contour_does_not_depend_on_its_batch():
    few, many = utterance(30, seed=1), utterance(50, seed=2)
    together = torch.zeros(2, N_BANDS + 2, 50)
    together[0, :, :30], together[1] = few[0], many[0]
    values = contour(together, torch.tensor([30, 50]), n_bands=N_BANDS)
    for row, alone in zip(values, (few, many), strict=True):
        np.testing.assert_allclose(row.reshape(8, -1).numpy(), eighths(alone), rtol=1e-3, atol=1e-3)
