"""Batches of an epoch: their order against an independent formula, and how they are shared over processes."""

from itertools import chain

import numpy as np
import pytest
import torch

from ser.data.samplers import EpochBatchSampler, FeatureDataset, SpeakerBatchSampler, epoch_seed, feature_loader

SIZES = [(n, batch_size, world) for world in (1, 2, 3, 4) for batch_size in (4, 7) for n in range(world, 40)]
"""Samples, batch size, processes."""


def lengths_of(n_samples):
    return torch.randint(1, 100, (n_samples,), generator=torch.Generator().manual_seed(0))


def batches_of(n_samples, *, epoch=0, **settings):
    sampler = EpochBatchSampler(lengths_of(n_samples), **({"batch_size": 4, "seed": 3} | settings))
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(sampler) == len(batches)
    return batches


def chunks(values, size):
    return [list(values[at : at + size]) for at in range(0, len(values), size)]


def flat(batches):
    return sorted(chain.from_iterable(batches))


def order_of(n_samples, *, seed, epoch):
    """The permutation that PyTorch draws from the first 64 bits of numpy's SeedSequence, without the lowest one."""
    first = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]) // 2
    return torch.randperm(n_samples, generator=torch.Generator().manual_seed(first)).tolist(), first


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (3, 0), (3, 7), (2**32 - 1, 2)])
@pytest.mark.parametrize("n_samples", [1, 4, 11, 97])
def test_the_order_is_a_permutation_that_follows_from_seed_and_epoch(n_samples, seed, epoch):
    torch.manual_seed(99)  # PyTorch's global generator has no part in it
    expected, _ = order_of(n_samples, seed=seed, epoch=epoch)
    assert batches_of(n_samples, seed=seed, epoch=epoch) == chunks(expected, 4)


@pytest.mark.parametrize("n_samples", [3, 31, 32, 33, 97])
def test_the_order_by_length_is_that_of_the_formula(n_samples):
    """Pools of eight batches, sorted by length and up to ten frames either way; then the batches are shuffled."""
    order, first = order_of(n_samples, seed=3, epoch=5)
    draws = torch.Generator().manual_seed(first)
    blurred = lengths_of(n_samples) + 10 * (2 * torch.rand(n_samples, generator=draws) - 1)
    rows = [row for pool in chunks(order, 32) for row in sorted(pool, key=blurred.tolist().__getitem__)]
    batches = chunks(rows, 4)
    shuffled = [batches[place] for place in torch.randperm(len(batches), generator=draws).tolist()]
    assert batches_of(n_samples, epoch=5, by_length=True) == shuffled


@pytest.mark.parametrize("by_length", [False, True])
def test_epochs_and_seeds_differ_and_a_fixed_sampler_repeats_the_first(by_length):
    epochs = [batches_of(97, epoch=epoch, by_length=by_length) for epoch in range(4)]
    assert all(flat(batches) == list(range(97)) for batches in epochs)
    assert all(epochs[0] != other for other in (*epochs[1:], batches_of(97, seed=4, by_length=by_length)))
    assert batches_of(97, epoch=3, by_length=by_length, is_fixed=True) == epochs[0]


def test_without_a_seed_the_samples_keep_their_order_in_every_epoch():
    assert batches_of(9, seed=None, epoch=2) == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


def test_epoch_seeds_are_all_different_and_fit_torch():
    seeds = {epoch_seed(seed, epoch, rank) for seed in range(12) for epoch in range(12) for rank in range(4)}
    assert len(seeds) == 12 * 12 * 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert epoch_seed(3, 7) == order_of(1, seed=3, epoch=7)[1]  # runs of one process stay what they were


@pytest.mark.parametrize("settings", [{}, {"by_length": True}, {"seed": None}])
def test_every_process_has_its_share_of_every_batch(settings):
    for n_samples, batch_size, world_size in SIZES:
        chosen = {"batch_size": batch_size, "epoch": 1, **settings}
        whole = batches_of(n_samples, **chosen)
        shares = [batches_of(n_samples, rank=rank, world_size=world_size, **chosen) for rank in range(world_size)]
        size = f"{n_samples} samples, batches of {batch_size}, {world_size} processes"
        assert flat(chain.from_iterable(shares)) == list(range(n_samples)), size
        assert len({len(share) for share in shares}) == 1, size
        together = list(zip(*shares, strict=True))  # the shares of each batch
        assert all(len(share) >= 1 and max(map(len, of)) - len(share) <= 1 for of in together for share in of), size
        if min(map(len, whole)) >= world_size:
            assert [flat(of) for of in together] == [sorted(batch) for batch in whole], size
        else:
            assert len(together) == len(whole) - 1, size


def test_a_last_batch_with_fewer_samples_than_processes_joins_the_one_before():
    shares = [batches_of(10, seed=None, rank=rank, world_size=3) for rank in range(3)]
    assert shares == [[[0, 3], [4, 7]], [[1], [5, 8]], [[2], [6, 9]]]
    shares = [batches_of(9, seed=None, rank=rank, world_size=3) for rank in range(3)]
    assert shares == [[[0, 3], [4, 7]], [[1], [5, 8]], [[2], [6]]]
    assert batches_of(9, seed=None)[-1] == [8]  # one process has a batch of one sample


def test_fewer_samples_than_processes_are_refused():
    with pytest.raises(ValueError, match="2 samples are fewer than the 3 processes"):
        batches_of(2, world_size=3)


def padded_samples(lengths, *, frames):
    features = torch.zeros(len(lengths), 2, frames)
    for row, length in enumerate(lengths):
        features[row, 0, :length] = row + 1
    return features


def loader(n_samples, *, crop=False, **settings):
    lengths = lengths_of(n_samples)
    dataset = FeatureDataset(padded_samples(lengths, frames=100), lengths, torch.arange(n_samples), crop=crop)
    return dataset, feature_loader(dataset, EpochBatchSampler(lengths, **({"batch_size": 4, "seed": 1} | settings)))


@pytest.mark.parametrize("crop", [False, True])
def test_a_loader_gives_the_batches_of_the_sampler_and_keeps_a_sample_together(crop):
    dataset, batches = loader(97, crop=crop, by_length=crop)
    seen = list(batches)
    assert len(seen) == len(batches) == 25
    assert [rows.tolist() for *_, rows in seen] == list(batches.batch_sampler)
    for features, lengths, rows in seen:
        assert torch.equal(lengths, dataset.lengths[rows])
        assert features.shape == (len(rows), 2, lengths.max() if crop else 100)
        assert torch.equal(features, dataset.features[rows, :, : features.shape[2]])
        assert (features.dtype, lengths.dtype, rows.dtype) == (torch.float32, torch.int64, torch.int64)
    assert [rows.tolist() for *_, rows in batches] == [rows.tolist() for *_, rows in seen]
    batches.batch_sampler.set_epoch(1)
    assert [rows.tolist() for *_, rows in batches] != [rows.tolist() for *_, rows in seen]


def test_samples_of_like_length_share_a_batch():
    seen = list(loader(97, crop=True, by_length=True)[1])
    padding = 1 - sum(int(found.sum()) for _, found, _ in seen) / sum(batch[:, 0].numel() for batch, _, _ in seen)
    assert padding < 0.15  # a batch of random ones would be 37% padding
    longest = [batch.shape[2] for batch, _, _ in seen]
    assert longest != sorted(longest)


def test_a_loader_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    list(loader(20)[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_data_set_gives_single_samples_too():
    dataset, _ = loader(5)
    features, length, label = dataset[3]
    assert (len(dataset), features.shape, int(label), int(length)) == (5, (2, 100), 3, int(dataset.lengths[3]))
    assert int((features[0] == 4).sum()) == length


@pytest.mark.parametrize("by_length", [False, True])
def test_samples_are_drawn_as_often_as_their_corpus_says(by_length):
    draws = torch.tensor([0.25] * 40 + [4.0] * 10 + [1.0] * 6, dtype=torch.float64)
    counts = torch.zeros(56)
    for epoch in range(40):
        drawn = torch.tensor(flat(batches_of(56, epoch=epoch, draws=draws, by_length=by_length)))
        assert len(drawn) == 56
        times = torch.bincount(drawn, minlength=56)
        assert ((times - draws).abs() < 1).all()  # chance decides on the fraction alone
        counts += times
    assert (counts[:40] > 0).all()
    torch.testing.assert_close(counts[:40].sum() / 40, torch.tensor(10.0), rtol=0.1, atol=0)
    assert batches_of(56, epoch=3, draws=draws) == batches_of(56, epoch=3, draws=draws)
    shared = [batches_of(56, epoch=3, draws=draws, rank=rank, world_size=2) for rank in (0, 1)]
    assert sorted(flat(shared[0]) + flat(shared[1])) == flat(batches_of(56, epoch=3, draws=draws))


def test_a_batch_of_corpora_that_lack_classes_says_which():
    allowed = torch.tensor([[True, False], [True, True], [False, True]])
    dataset = FeatureDataset(torch.zeros(3, 2, 5), torch.tensor([5, 4, 3]), torch.tensor([0, 1, 1]), allowed)
    assert dataset[2][3].tolist() == [False, True]
    assert dataset.__getitems__([2, 0])[3].tolist() == [[False, True], [True, False]]


def by_speaker(*, n_speakers=6, each=20, versions=1, epoch=0, **settings):
    speakers = torch.arange(n_speakers).repeat_interleave(each).repeat(versions)
    recordings = torch.arange(n_speakers * each).repeat(versions)
    sampler = SpeakerBatchSampler(speakers, recordings, **({"batch_size": 16, "per_speaker": 4, "seed": 1} | settings))
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    return speakers, recordings, batches


def groups_of(batches, size=4):
    return [group for batch in batches for group in chunks(batch, size)]


def test_a_group_has_different_recordings_of_one_speaker():
    speakers, recordings, batches = by_speaker(versions=3)
    assert [len(batch) for batch in batches] == [16] * 7 + [8]
    for group in groups_of(batches):
        assert len(set(speakers[group].tolist())) == 1
        assert len(set(recordings[group].tolist())) == 4
        assert len({index // 120 for index in group}) == 1  # all of one version
    assert {index // 120 for index in flat(batches)} == {0, 1, 2}


def test_an_epoch_has_every_recording_once_and_follows_from_seed_and_epoch():
    _, _, batches = by_speaker()
    assert flat(batches) == list(range(120))
    assert by_speaker()[2] == batches
    assert by_speaker(epoch=1)[2] != batches
    assert by_speaker(seed=2)[2] != batches
    assert by_speaker(epoch=1, is_fixed=True)[2] == batches


def test_speakers_have_groups_by_their_draws_and_few_recordings_make_a_small_group():
    draws = torch.tensor([3.0] * 20 + [1.0] * 40 + [0.5] * 60, dtype=torch.float64)
    speakers, _, _ = by_speaker()
    counts = torch.zeros(6)
    for epoch in range(200):
        for group in groups_of(by_speaker(draws=draws, epoch=epoch)[2]):
            counts[speakers[group[0]]] += 1
    np.testing.assert_allclose(counts / counts.sum(), np.array([60, 20, 20, 10, 10, 10]) / 130, atol=0.01)
    small, _, batches = by_speaker(each=3)
    assert {len(set(small[batch].tolist())) for batch in batches} == {1, 4}
    assert all(len(batch) % 3 == 0 for batch in batches)


def test_processes_share_whole_groups():
    _, _, whole = by_speaker()
    parts = [by_speaker(rank=rank, world_size=2)[2] for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert sorted(first + second) == sorted(batch)
        assert [group in chunks(batch, 4) for group in chunks(first, 4)] == [True] * (len(first) // 4)
