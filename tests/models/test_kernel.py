"""The second opinion for heard voices: its statistics and its kernel against numpy, and its place in a recogniser."""

import numpy as np
import torch

from ser.models.contour import N_CONTOUR
from ser.models.functionals import N_FUNCTIONALS, band_functionals, functionals
from ser.models.kernel import N_LANDMARKS, KernelHead, gaussian_kernel
from ser.models.recogniser import build_recogniser

N_BANDS = 32


def utterance(n_frames, *, seed=0):
    draw = torch.Generator().manual_seed(seed)
    bands = -40 + 12 * torch.randn(1, N_BANDS, n_frames, generator=draw)
    return torch.cat([bands, 7 + torch.rand(1, 2, n_frames, generator=draw)], dim=1)


def everything(n_frames):
    return torch.ones(1, n_frames, dtype=torch.bool)


def test_bands_against_numpy():
    features = utterance(60)
    features[0, :, 20:30] = -110  # a pause, which says nothing of the voice
    bands = features[0, :N_BANDS].numpy()
    level = 10 * np.log10((10.0 ** (bands / 10)).sum(axis=0))
    weights = (level - level.max() > -35) + 1e-3
    mean = np.average(bands, axis=1, weights=weights)
    deviation = np.sqrt(np.average((bands - mean[:, np.newaxis]) ** 2, axis=1, weights=weights))
    values = band_functionals(features, everything(60), n_bands=N_BANDS)[0].numpy()
    np.testing.assert_allclose(values, np.concatenate([mean, deviation]), rtol=1e-3)


def test_the_kernel_against_numpy():
    rows, others = (torch.randn(n, 40, generator=torch.Generator().manual_seed(n)) for n in (5, 7))
    differences = rows.numpy()[:, np.newaxis] - others.numpy()
    expected = np.exp(-np.mean(differences**2, axis=2))
    np.testing.assert_allclose(gaussian_kernel(rows, others).numpy(), expected, rtol=1e-4)
    torch.testing.assert_close(gaussian_kernel(rows, rows).diagonal(), torch.ones(5))


def test_padding_changes_nothing():
    head = KernelHead(n_bands=N_BANDS, n_classes=3)
    short, padded = utterance(37), torch.zeros(1, N_BANDS + 2, 80)
    padded[:, :, :37] = short
    mask = (torch.arange(80) < 37).unsqueeze(0)
    torch.testing.assert_close(
        head.statistics(padded, mask), head.statistics(short, everything(37)), rtol=1e-4, atol=1e-4
    )


def test_its_statistics_are_the_linear_layers_the_bands_and_the_contour():
    head, features = KernelHead(n_bands=N_BANDS, n_classes=3), utterance(50)
    values = head.statistics(features, everything(50))
    assert values.shape == (1, N_FUNCTIONALS + 2 * N_BANDS + N_CONTOUR)
    torch.testing.assert_close(values[:, :N_FUNCTIONALS], functionals(features, everything(50), n_bands=N_BANDS))


def test_an_unfitted_head_prefers_nothing_and_nothing_of_it_is_trained():
    settings = {"channels": [4, 8], "lstm_hidden": 4, "attention_hidden": 4, "fusion_weight": 0.5, "kernel": True}
    recogniser = build_recogniser("residual_bilstm", settings, n_features=N_BANDS + 2, max_length=64, n_classes=4)
    head = recogniser.utterance_head
    assert isinstance(head, KernelHead)
    assert head.landmarks.shape == (N_LANDMARKS, N_FUNCTIONALS + 2 * N_BANDS + N_CONTOUR)
    torch.testing.assert_close(head(utterance(30), everything(30)).softmax(dim=1), torch.full((1, 4), 0.25))
    assert not list(head.parameters())


def test_without_a_share_there_is_none():
    settings = {"channels": [4, 8], "lstm_hidden": 4, "attention_hidden": 4, "kernel": True}
    recogniser = build_recogniser("residual_bilstm", settings, n_features=N_BANDS, max_length=64, n_classes=4)
    assert recogniser.utterance_head is None
