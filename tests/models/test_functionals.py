"""The second opinion: its statistics against numpy, padding, and how it joins the network's."""

import numpy as np
import pytest
import torch

from ser.errors import SettingsError
from ser.models.functionals import N_FUNCTIONALS, FunctionalsHead, functionals
from ser.models.recogniser import build_recogniser

SMALL = {"channels": [4, 8], "lstm_hidden": 4, "attention_hidden": 4}
N_BANDS = 32


def utterance(n_frames, *, seed=0):
    """A made-up voice: float32 [1, bands + 2, frames]."""
    draw = torch.Generator().manual_seed(seed)
    bands = -40 + 12 * torch.randn(1, N_BANDS, n_frames, generator=draw)
    pitch = 7 + 0.05 * torch.randn(1, 1, n_frames, generator=draw).cumsum(dim=2)
    voicing = torch.rand(1, 1, n_frames, generator=draw)
    return torch.cat([bands, pitch, voicing], dim=1)


def everything(n_frames):
    return torch.ones(1, n_frames, dtype=torch.bool)


def test_there_are_as_many_as_is_said_and_all_are_finite():
    values = functionals(utterance(50), everything(50), n_bands=N_BANDS)
    assert values.shape == (1, N_FUNCTIONALS)
    assert torch.isfinite(values).all()


def test_padding_changes_nothing():
    short, long = utterance(37), torch.zeros(2, N_BANDS + 2, 80)
    long[0, :, :37] = short
    long[1] = utterance(80, seed=1)
    mask = torch.stack([torch.arange(80) < 37, torch.arange(80) < 80])
    together = functionals(long, mask, n_bands=N_BANDS)
    torch.testing.assert_close(together[:1], functionals(short, everything(37), n_bands=N_BANDS), rtol=1e-4, atol=1e-4)


def test_level_pitch_and_cepstra_against_numpy():
    features = utterance(60)
    values = functionals(features, everything(60), n_bands=N_BANDS)[0].numpy()
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
    values = [functionals(one, everything(60), n_bands=N_BANDS)[0] for one in (low, high)]
    changed = ((values[1] - values[0]).abs() > 1e-3).nonzero()[:, 0].tolist()
    assert changed == [2 * 33 + 2 * 32]
    torch.testing.assert_close(values[1][changed], values[0][changed] + 1)


def test_a_rising_pitch_is_told_from_a_falling_one():
    def rise(slope):
        features = utterance(60)
        features[:, N_BANDS] = 7 + slope * torch.linspace(0, 1, 60)
        return functionals(features, everything(60), n_bands=N_BANDS)[0, -5]

    assert rise(0.5) > 0.01
    torch.testing.assert_close(rise(-0.5), -rise(0.5), rtol=1e-3, atol=1e-5)


def test_nothing_heard_gives_numbers_still():
    values = functionals(torch.zeros(1, N_BANDS + 2, 20), torch.zeros(1, 20, dtype=torch.bool), n_bands=N_BANDS)
    assert torch.isfinite(values).all()


def build(share):
    torch.manual_seed(0)
    settings = {**SMALL, "fusion_weight": share}
    return build_recogniser("residual_bilstm", settings, n_features=N_BANDS + 2, max_length=64, n_classes=3).eval()


def test_the_two_opinions_are_joined_by_their_shares():
    recogniser = build(0.3)
    recogniser.utterance_head.weight.normal_(std=0.1)
    features = utterance(50)
    own, weights = recogniser.network_logits(features)
    second = recogniser.utterance_head(features, everything(50))
    joined, joined_weights = recogniser(features)
    expected = own.softmax(dim=1) ** 0.7 * second.softmax(dim=1) ** 0.3
    torch.testing.assert_close(joined.softmax(dim=1), expected / expected.sum())
    torch.testing.assert_close(joined_weights, weights)


def test_the_network_does_not_see_the_rows_of_the_pitch():
    recogniser = build(0.3)
    features, other = utterance(50), utterance(50)
    other[:, N_BANDS:] += 1
    torch.testing.assert_close(recogniser.network_logits(features), recogniser.network_logits(other))


def test_nothing_of_the_second_opinion_is_trained_and_all_of_it_is_kept():
    recogniser = build(0.3)
    assert not [name for name, _ in recogniser.named_parameters() if name.startswith("utterance_head")]
    kept = {name for name in recogniser.state_dict() if name.startswith("utterance_head")}
    assert kept == {f"utterance_head.{name}" for name in ("mean", "scale", "weight", "bias")}


def test_without_a_share_there_is_none():
    recogniser = build_recogniser("residual_bilstm", SMALL, n_features=N_BANDS, max_length=64, n_classes=3)
    assert recogniser.utterance_head is None


def test_an_unfitted_head_prefers_nothing():
    logits = FunctionalsHead(n_bands=N_BANDS, n_classes=4)(utterance(30), everything(30))
    torch.testing.assert_close(logits.softmax(dim=1), torch.full((1, 4), 0.25))


def test_a_share_of_everything_is_refused():
    with pytest.raises(SettingsError, match="fusion_weight is 1"):
        build(1)
