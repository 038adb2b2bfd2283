"""Masks and mixup: how wide, how often, and that nothing else changes."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from ser.augment.specaugment import draw_mixing_weight, mask_spectrogram, mix
from ser.augment.spectrogram import SpectrogramAugmentSettings

OFF = SpectrogramAugmentSettings()
MASKS = replace(OFF, n_masks=1, freq_mask=8, time_mask=12)
MIXUP = replace(OFF, mixup=0.2, mixup_probability=1.0)
N_BANDS, N_FRAMES = 64, 100


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def assert_drawn_from_the_generator_alone(draw):
    state = torch.get_rng_state()
    first, again, other = (draw(generator=generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def batch():
    """Features without a 0 but in the padding, and lengths."""
    lengths = torch.tensor([100, 37, 90, 61, 5, 80] * 50)
    features = torch.randn(len(lengths), N_BANDS, N_FRAMES, generator=generator())
    return (features.abs() + 0.1) * (torch.arange(N_FRAMES) < lengths[:, None, None]), lengths


def hidden(before, after, lengths):
    """Which bands and which frames of each recording are 0 throughout; asserts that all else is as it was."""
    for row, n in enumerate(lengths):
        zero = after[row, :, :n] == 0
        bands, frames = zero.all(dim=1), zero.all(dim=0)
        assert torch.equal(zero, bands[:, None] | frames[None, :])
        assert torch.equal(after[row, :, :n][~zero], before[row, :, :n][~zero])
        assert (after[row, :, n:] == 0).all()
        yield bands, frames, int(n)


def is_one_block(places):
    found = places.nonzero()[:, 0]
    return len(found) == 0 or int(found[-1] - found[0]) + 1 == len(found)


def test_one_mask_is_a_block_of_bounded_width_anywhere(batch):
    features, lengths = batch
    masked = mask_spectrogram(*batch, MASKS, generator=generator())
    bands_seen, frames_seen = torch.zeros(N_BANDS, dtype=torch.bool), torch.zeros(N_FRAMES, dtype=torch.bool)
    band_widths, frame_widths = set(), {n: set() for n in lengths.tolist()}
    for bands, frames, n in hidden(features, masked, lengths):
        assert is_one_block(bands)
        assert is_one_block(frames)
        bands_seen |= bands
        frames_seen[:n] |= frames
        band_widths.add(int(bands.sum()))
        frame_widths[n].add(int(frames.sum()))
    assert band_widths == set(range(9))
    for n, widths in frame_widths.items():
        assert max(widths) == min(12, n // 6), n
        assert min(widths) == 0
    assert bands_seen.all()
    assert frames_seen[:99].all()  # the last one is hidden by few of the masks that there can be


def test_several_masks_hide_more_but_no_more_than_their_sum(batch):
    features, lengths = batch
    masked = mask_spectrogram(features, lengths, replace(MASKS, n_masks=3), generator=generator())
    counts = [(int(b.sum()), int(f.sum()), n) for b, f, n in hidden(features, masked, lengths)]
    assert 12 < max(bands for bands, _, _ in counts) <= 3 * 8
    assert all(frames <= 3 * min(12, n // 6) for _, frames, n in counts)
    assert max(frames for _, frames, _ in counts) > 16


def test_masks_wider_than_the_batch_are_cut_to_it(batch):
    masked = mask_spectrogram(*batch, replace(MASKS, freq_mask=200), generator=generator())
    widest = max(int((masked[row, :, :n] == 0).all(dim=1).sum()) for row, n in enumerate(batch[1]))
    assert 60 <= widest <= N_BANDS


@pytest.mark.parametrize("settings", [OFF, replace(OFF, n_masks=2), replace(OFF, freq_mask=8, time_mask=8)])
def test_without_masks_nothing_is_hidden(batch, settings):
    assert torch.equal(mask_spectrogram(*batch, settings, generator=generator()), batch[0])


def test_masks_come_from_the_generator_alone(batch):
    assert_drawn_from_the_generator_alone(partial(mask_spectrogram, *batch, MASKS))


@pytest.fixture
def pairs():
    """Eight recordings, each filled with its own power of two, so that a mixture tells its parts; lengths; targets."""
    lengths = torch.arange(3, 11)
    features = (2.0 ** torch.arange(8))[:, None, None] * (torch.arange(10) < lengths[:, None, None]).expand(8, 4, 10)
    return features.contiguous(), lengths, torch.eye(8)


def test_targets_are_mixed_as_the_inputs_are(pairs):
    features, lengths, _ = pairs
    partners = set()
    for seed in range(20):
        allowed = torch.eye(8, dtype=torch.bool)
        mixed, mixed_lengths, mixed_targets, of_both = mix(*pairs, MIXUP, generator=generator(seed), allowed=allowed)
        torch.testing.assert_close(of_both, mixed_targets > 0)  # each recording has the classes of both
        torch.testing.assert_close(mixed_targets.sum(dim=1), torch.ones(8))
        torch.testing.assert_close(mixed, torch.einsum("ij,jbt->ibt", mixed_targets, features))
        assert (mixed_targets.diagonal() >= 0.5).all()
        for row, parts in enumerate(mixed_targets):
            others = [place for place in parts.nonzero()[:, 0].tolist() if place != row]
            assert len(others) <= 1
            partners.update((row, other) for other in others)
            assert mixed_lengths[row] == max(int(lengths[place]) for place in (row, *others))
            assert (mixed[row, :, mixed_lengths[row] :] == 0).all()
    assert len(partners) > 30


def test_mixtures_come_from_the_generator_alone_and_the_input_stays(pairs):
    before = [values.clone() for values in pairs]
    assert_drawn_from_the_generator_alone(lambda generator: mix(*pairs, MIXUP, generator=generator)[0])
    assert all(torch.equal(*values) for values in zip(before, pairs, strict=True))


def test_as_many_batches_are_mixed_as_the_probability_says(pairs):
    random = generator()
    settings = replace(MIXUP, mixup=5.0, mixup_probability=0.3)
    n_mixed = sum(not torch.equal(mix(*pairs, settings, generator=random)[0], pairs[0]) for _ in range(500))
    assert n_mixed == pytest.approx(150, abs=42)  # four standard deviations


@pytest.mark.parametrize("settings", [OFF, replace(OFF, mixup=0.2), replace(OFF, mixup_probability=1.0)])
def test_without_mixup_a_batch_is_unchanged(pairs, settings):
    *mixed, allowed = mix(*pairs, settings, generator=generator())
    assert allowed is None
    for before, after in zip(pairs, mixed, strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("mixup", [0.2, 1.0, 4.0])
def test_weights_are_distributed_as_the_larger_of_beta_and_its_rest(mixup):
    random = generator()
    weights = np.array([draw_mixing_weight(mixup, generator=random) for _ in range(1000)])
    assert weights.min() >= 0.5
    assert weights.max() <= 1
    distribution = stats.beta(mixup, mixup)
    assert stats.kstest(weights, lambda one: distribution.cdf(one) - distribution.cdf(1 - one)).pvalue > 0.01


def test_everything_but_the_draws_is_done_where_the_batch_is(pairs):
    """The meta device refuses tensors of another one, as a GPU does."""
    features, lengths, targets = pairs
    masked = mask_spectrogram(features.to("meta"), lengths, MASKS, generator=generator())
    allowed = targets.to("meta") > 0
    mixed, mixed_lengths, mixed_targets, allowed = mix(
        masked, lengths, targets.to("meta"), MIXUP, generator=generator(), allowed=allowed
    )
    assert {mixed.device.type, mixed_targets.device.type, allowed.device.type} == {"meta"}
    assert torch.equal(mixed_lengths, mix(*pairs, MIXUP, generator=generator())[1])
