"""The course of an utterance in eighths: against numpy, from where it is loud, whatever surrounds it."""

import numpy as np
import pytest
import torch
from scipy.fft import dct

from ser.models.contour import N_CONTOUR, contour

N_BANDS = 32


def utterance(n_frames, *, seed=0):
    draw = torch.Generator().manual_seed(seed)
    bands = -40 + 12 * torch.randn(1, N_BANDS, n_frames, generator=draw)
    voicing = torch.rand(1, 1, n_frames, generator=draw)
    return torch.cat([bands, 7 + torch.rand(1, 1, n_frames, generator=draw), voicing], dim=1)


def eighths(features):
    """Float [8, cepstra + level, voicing, pitch] of frames that are all real."""
    everything = torch.ones(1, features.shape[2], dtype=torch.bool)
    values = contour(features, everything, n_bands=N_BANDS)
    assert values.shape == (1, N_CONTOUR)
    return values.reshape(8, -1).numpy()


def test_against_numpy():
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


def test_silence_around_it_and_padding_change_nothing():
    spoken = utterance(40)
    silence = torch.cat([torch.full((1, N_BANDS, 25), -100.0), torch.full((1, 2, 25), 0.1)], dim=1)
    features = torch.cat([silence, spoken, silence, torch.zeros(1, N_BANDS + 2, 10)], dim=2)
    mask = torch.arange(100).unsqueeze(0) < 90
    values = contour(features, mask, n_bands=N_BANDS).reshape(8, -1).numpy()
    np.testing.assert_allclose(values, eighths(spoken), rtol=1e-3, atol=1e-3)


def test_what_is_said_later_is_heard_later():
    features = utterance(80)
    features[0, N_BANDS] = 7 + torch.linspace(0, 1, 80)
    assert (np.diff(eighths(features)[:, -1]) > 0).all()


@pytest.mark.parametrize("n_frames", [1, 2, 5])
def test_short_ones_have_every_eighth(n_frames):
    assert np.isfinite(eighths(utterance(n_frames))).all()


def test_each_utterance_is_by_itself():
    few, many = utterance(30, seed=1), utterance(50, seed=2)
    together = torch.zeros(2, N_BANDS + 2, 50)
    together[0, :, :30], together[1] = few[0], many[0]
    mask = torch.arange(50) < torch.tensor([[30], [50]])
    values = contour(together, mask, n_bands=N_BANDS)
    for row, alone in zip(values, (few, many), strict=True):
        np.testing.assert_allclose(row.reshape(8, -1).numpy(), eighths(alone), rtol=1e-3, atol=1e-3)
