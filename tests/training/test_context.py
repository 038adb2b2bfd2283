"""Training with speaker context: who is in whose context, and the statistics that a network begins with."""

import numpy as np
import torch

from ser.augment.spectrogram import SpectrogramAugmentSettings
from ser.features.settings import FeatureSettings
from ser.models.functionals import band_functionals, functionals
from ser.models.networks.context_bilstm import ContextBiLstm
from ser.training.context import draw_members, expected_shares, fit_statistics, logits_in_context

SPEAKERS = torch.tensor([0] * 8 + [1] * 5 + [2])
FEATURES = FeatureSettings(
    sample_rate=16000, n_fft=1024, hop_length=320, n_mels=16, max_length=200, groups=("logmel", "pitch")
)


def recordings(n, *, seed=0):
    draws = torch.Generator().manual_seed(seed)
    bands = -40 + 10 * torch.randn(n, 16, 200, generator=draws)
    rows = torch.stack([7 + torch.rand(n, 200, generator=draws), torch.rand(n, 200, generator=draws)], dim=1)
    lengths = torch.randint(20, 201, (n,), generator=draws)
    features = torch.cat([bands, rows], dim=1)
    for one, length in zip(features, lengths.tolist(), strict=True):
        one[:, length:] = 0
    return features, lengths


def test_a_context_has_others_of_the_speaker_of_every_number_or_none():
    generator = torch.Generator().manual_seed(0)
    numbers = []
    for _ in range(2000):
        members = draw_members(SPEAKERS, generator=generator)
        assert not (members & (SPEAKERS[:, None] != SPEAKERS)).any()
        assert not members.diagonal().any()
        numbers.append(members.sum(dim=1))
    counts = torch.stack(numbers)
    assert not counts[:, -1].any()  # alone in the batch
    of_first = np.bincount(counts[:, 0].numpy(), minlength=8) / 2000
    np.testing.assert_allclose(of_first, [0.25, *[0.75 / 7] * 7], atol=0.03)
    assert counts[:, 8].max() == 4


def test_statistics_are_those_of_numpy_by_draws():
    features, lengths = recordings(9)
    speakers, draws = torch.tensor([0, 0, 0, 1, 1, 1, 5, 5, 5]), torch.arange(1.0, 10.0, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 0, 0, 0, 0, 1, 0])
    network = ContextBiLstm(18, 3, channels=(4, 4), lstm_hidden=4)
    fit_statistics(network, features, lengths, speakers, labels, draws)
    features = network.limit(features, lengths)
    values = functionals(features, lengths, n_bands=16).double().numpy()
    weights = draws.numpy() / draws.numpy().sum()
    mean = weights @ values
    np.testing.assert_allclose(network.mean, mean, rtol=1e-4, atol=1e-5)
    scale = np.sqrt(weights @ (values - mean) ** 2)
    np.testing.assert_allclose(network.scale, np.maximum(scale, 1e-3), rtol=1e-3, atol=1e-5)
    around = np.concatenate([rows - rows.mean(axis=0) for rows in np.split(values, 3)])
    np.testing.assert_allclose(network.within, np.maximum(weights @ around**2, 1e-6), rtol=1e-3, atol=1e-6)
    of_bands = band_functionals(features, lengths, n_bands=16).double().numpy()
    means, scales = of_bands[:, :16], of_bands[:, 16:]
    band_mean = weights @ means
    np.testing.assert_allclose(network.band_mean, band_mean, rtol=1e-5)
    np.testing.assert_allclose(network.band_scale, np.sqrt(weights @ (scales**2 + (means - band_mean) ** 2)), rtol=1e-4)
    roots = np.sqrt([34 / 45, 11 / 45, 1e-4])  # of the draws' shares; no sample is of the third class
    np.testing.assert_allclose(network.class_shares, roots / roots.sum(), rtol=1e-6)


def test_a_class_four_times_as_frequent_is_expected_twice_as_often():
    found = expected_shares(torch.tensor([1, 1, 1, 1, 0]), torch.ones(5, dtype=torch.float64), n_classes=2)
    np.testing.assert_allclose(found, [1 / 3, 2 / 3])


def test_gradients_pass_through_the_summaries_of_others():
    features, lengths = recordings(14)
    torch.manual_seed(0)
    network = ContextBiLstm(18, 3, channels=(4, 4), lstm_hidden=4)
    fit_statistics(network, features, lengths, SPEAKERS, SPEAKERS)
    strong = SpectrogramAugmentSettings(
        vtlp=0.1, speed=0.1, rir=0.3, eq=0.5, telephone=0.1, noise=0.4, n_masks=2, freq_mask=3
    )
    settings = {"spectrogram": strong, "settings": FEATURES}

    def logits(seed):
        torch.manual_seed(0)
        return logits_in_context(
            network, features, lengths, SPEAKERS, generator=torch.Generator().manual_seed(seed), **settings
        )

    first, again, other = logits(0), logits(0), logits(1)
    torch.testing.assert_close(first.fused, again.fused)
    assert (first.fused - other.fused).abs().max() > 1e-4
    assert first.fused.shape == first.of_embedding.shape == first.of_functionals.shape == (28, 3)
    first.fused.logsumexp(dim=1).sum().backward()
    assert network.log_prior.grad.abs().min() > 0
    assert network.stem.weight.grad.abs().max() > 0


def test_the_second_half_of_the_logits_has_no_context_and_the_first_half_has_one():
    features, lengths = recordings(14)
    torch.manual_seed(0)
    network = ContextBiLstm(18, 3, channels=(4, 4), lstm_hidden=4).eval()
    fit_statistics(network, features, lengths, SPEAKERS, SPEAKERS)
    found = logits_in_context(
        network,
        features,
        lengths,
        SPEAKERS,
        spectrogram=SpectrogramAugmentSettings(),
        settings=FEATURES,
        generator=torch.Generator().manual_seed(3),
    ).fused
    lengths_cut = lengths.clamp(max=176)
    short = lengths == lengths_cut  # the others were cut at random
    alone = network(features, lengths, torch.zeros(14, 1 + 2 * network.n_summary))[0]
    torch.testing.assert_close(found[14:][short], 1.75 * alone[short], rtol=1e-4, atol=1e-4)  # of the doubt
    differences = (found[:14] - found[14:]).abs().amax(dim=1)
    assert differences[-1] == 0  # alone in the batch
    assert (differences[:8] > 1e-4).sum() >= 4
