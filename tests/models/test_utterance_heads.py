"""The utterance-level heads: their statistics, the kernel against numpy, and their place in a recogniser."""

import numpy as np
import torch

from ser.models.functionals import N_CONTOUR, N_FUNCTIONALS, functionals
from ser.models.registry import build_recogniser
from ser.models.utterance_heads import N_LANDMARKS, FunctionalsHead, KernelHead, gaussian_kernel

N_BANDS = 32


def utterance(n_frames):
    draw = torch.Generator().manual_seed(0)
    bands = -40 + 12 * torch.randn(1, N_BANDS, n_frames, generator=draw)
    return torch.cat([bands, 7 + torch.rand(1, 2, n_frames, generator=draw)], dim=1)


def test_an_unfitted_head_prefers_nothing():
    logits = FunctionalsHead(n_bands=N_BANDS, n_classes=4)(utterance(30), torch.tensor([30]))
    torch.testing.assert_close(logits.softmax(dim=1), torch.full((1, 4), 0.25))


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
    lengths = torch.tensor([37])
    torch.testing.assert_close(head.statistics(padded, lengths), head.statistics(short, lengths), rtol=1e-4, atol=1e-4)


def test_its_statistics_are_the_functionals_the_bands_and_the_contour():
    head, features = KernelHead(n_bands=N_BANDS, n_classes=3), utterance(50)
    values = head.statistics(features, torch.tensor([50]))
    assert values.shape == (1, N_FUNCTIONALS + 2 * N_BANDS + N_CONTOUR)
    torch.testing.assert_close(values[:, :N_FUNCTIONALS], functionals(features, torch.tensor([50]), n_bands=N_BANDS))


def test_an_unfitted_kernel_prefers_nothing_and_nothing_of_it_is_trained():
    settings = {"channels": [4, 8], "lstm_hidden": 4, "attention_hidden": 4, "fusion_weight": 0.5, "kernel": True}
    recogniser = build_recogniser("residual_bilstm", settings, n_features=N_BANDS + 2, max_length=64, n_classes=4)
    head = recogniser.utterance_head
    assert isinstance(head, KernelHead)
    assert head.landmarks.shape == (N_LANDMARKS, N_FUNCTIONALS + 2 * N_BANDS + N_CONTOUR)
    torch.testing.assert_close(head(utterance(30), torch.tensor([30])).softmax(dim=1), torch.full((1, 4), 0.25))
    assert not list(head.parameters())
