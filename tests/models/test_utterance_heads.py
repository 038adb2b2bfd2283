"""The utterance-level heads, the kernel against numpy, and their place in a recogniser."""

import numpy as np
import pytest
import torch

from ser.features.settings import FeatureSettings
from ser.models.functionals import N_CONTOUR, N_FUNCTIONALS, functionals
from ser.models.metadata import ModelMetadata
from ser.models.registry import build_recogniser
from ser.models.utterance_heads import N_LANDMARKS, FunctionalsHead, KernelHead, gaussian_kernel
from tests.models.utterances import N_BANDS, utterance

SETTINGS = {"channels": [4, 8], "lstm_hidden": 4, "attention_hidden": 4}
LENGTHS = torch.tensor([50])
BUFFERS = {
    FunctionalsHead: {"mean", "scale", "weight", "bias"},
    KernelHead: {"mean", "whitening", "landmarks", "weight", "bias"},
}


def build(kind=None):
    torch.manual_seed(0)
    metadata = ModelMetadata(
        architecture="residual_bilstm",
        network=SETTINGS,
        utterance_head=kind,
        fusion_weight=0.3,
        class_names=("neutral", "calm", "happy", "sad"),
        features=FeatureSettings(n_mels=N_BANDS, groups=("logmel", "pitch"), max_length=64),
        protocol="Random weights.",
    )
    return build_recogniser(metadata).eval()


@pytest.mark.parametrize("head", BUFFERS)
def test_an_unfitted_head_prefers_nothing_is_not_trained_and_is_kept(head):
    recogniser = build("kernel" if head is KernelHead else "linear")
    assert type(recogniser.utterance_head) is head
    logits = recogniser.utterance_head(utterance(50), LENGTHS)
    torch.testing.assert_close(logits.softmax(dim=1), torch.full((1, 4), 0.25))
    assert not list(recogniser.utterance_head.parameters())
    kept = {name for name in recogniser.state_dict() if name.startswith("utterance_head")}
    assert kept == {f"utterance_head.{name}" for name in BUFFERS[head]}
    assert build().utterance_head is None


def test_the_kernel_against_numpy():
    rows, others = (torch.randn(n, 40, generator=torch.Generator().manual_seed(n)) for n in (5, 7))
    differences = rows.numpy()[:, np.newaxis] - others.numpy()
    expected = np.exp(-np.mean(differences**2, axis=2))
    np.testing.assert_allclose(gaussian_kernel(rows, others).numpy(), expected, rtol=1e-4)
    torch.testing.assert_close(gaussian_kernel(rows, rows).diagonal(), torch.ones(5))


def test_the_statistics_of_a_kernel_are_the_functionals_the_bands_and_the_contour():
    head = KernelHead(n_bands=N_BANDS, n_classes=3)
    values = head.statistics(utterance(50), LENGTHS)
    assert values.shape == (1, N_FUNCTIONALS + 2 * N_BANDS + N_CONTOUR)
    assert head.landmarks.shape == (N_LANDMARKS, values.shape[1])
    torch.testing.assert_close(values[:, :N_FUNCTIONALS], functionals(utterance(50), LENGTHS, n_bands=N_BANDS))


def test_late_fusion_weighs_the_log_probabilities():
    recogniser, features = build("linear"), utterance(50)
    recogniser.utterance_head.weight.normal_(std=0.1)
    logits, weights = recogniser.network_logits(features, LENGTHS)
    fused, fused_weights = recogniser(features, LENGTHS)
    of_head = recogniser.utterance_head(features, LENGTHS)
    expected = logits.softmax(dim=1) ** 0.7 * of_head.softmax(dim=1) ** 0.3
    torch.testing.assert_close(fused.softmax(dim=1), expected / expected.sum())
    torch.testing.assert_close(fused_weights, weights)


def test_the_network_does_not_get_the_rows_of_the_pitch():
    recogniser, other = build("linear"), utterance(50)
    other[:, N_BANDS:] += 1
    expected = recogniser.network_logits(utterance(50), LENGTHS)
    torch.testing.assert_close(recogniser.network_logits(other, LENGTHS), expected)
