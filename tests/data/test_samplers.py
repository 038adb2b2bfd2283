import torch

from ser.data.samplers import EpochOrder, TensorBatches, epoch_seed


def test_each_epoch_goes_through_every_sample_once_in_another_order():
    order = EpochOrder(100, seed=3)
    orders = []
    for epoch in range(4):
        order.set_epoch(epoch)
        orders.append(tuple(order.indices().tolist()))
        assert sorted(orders[-1]) == list(range(100))
    assert len({*orders, tuple(range(100))}) == 5


def test_the_order_follows_from_seed_and_epoch_alone():
    def indices(seed, epoch):
        order = EpochOrder(50, seed=seed)
        order.set_epoch(epoch)
        return order.indices().tolist()

    expected = indices(3, 7)
    torch.manual_seed(99)
    torch.randperm(10)
    assert indices(3, 7) == expected
    assert indices(0, 0) != indices(1, 0)
    assert len({tuple(indices(seed, epoch)) for seed in range(4) for epoch in range(4)}) == 16


def test_epoch_seeds_are_all_different_and_fit_torch():
    seeds = {epoch_seed(seed, epoch) for seed in range(30) for epoch in range(30)}
    assert len(seeds) == 900
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_batches_without_an_order_go_through_the_samples_as_they_stand():
    samples = torch.arange(66.0).reshape(11, 2, 3), torch.arange(11) % 3 + 1, torch.arange(11)
    batches = TensorBatches(*samples, batch_size=4)
    assert [len(labels) for _, _, labels in batches] == [4, 4, 3]
    assert len(batches) == 3
    for found, expected in zip(zip(*batches, strict=True), samples, strict=True):
        assert torch.equal(torch.cat(found), expected)


def test_batches_keep_a_sample_together_in_the_epochs_order():
    labels = torch.arange(11)
    features = labels[:, None, None] * torch.ones(11, 2, 3)
    batches = TensorBatches(features, 20 + labels, labels, batch_size=4, order=EpochOrder(11, seed=5))
    seen = list(batches)
    assert [len(label) for _, _, label in seen] == [4, 4, 3]
    for feature, length, label in seen:
        assert torch.equal(feature[:, 0, 0].long(), label)
        assert torch.equal(length, 20 + label)
    expected = EpochOrder(11, seed=5).indices()
    assert torch.equal(torch.cat([label for _, _, label in seen]), expected)
    batches.sampler.set_epoch(1)
    assert not torch.equal(torch.cat([label for _, _, label in batches]), expected)


def padded_samples(lengths, *, frames):
    features = torch.zeros(len(lengths), 2, frames)
    for row, length in enumerate(lengths):
        features[row, 0, :length] = row + 1
    return features


def test_samples_of_like_length_share_a_batch_no_longer_than_its_longest():
    lengths = torch.randint(1, 100, (97,), generator=torch.Generator().manual_seed(0))
    features, order = padded_samples(lengths, frames=100), EpochOrder(97, seed=1)
    batches = TensorBatches(features, lengths, torch.arange(97), batch_size=4, order=order, by_length=True)
    seen = list(batches)
    assert len(seen) == len(batches) == 25
    assert sorted(torch.cat([rows for _, _, rows in seen]).tolist()) == list(range(97))
    for batch, of_batch, rows in seen:
        assert torch.equal(of_batch, lengths[rows])
        assert batch.shape[2] == lengths[rows].max()
        assert torch.equal(batch[:, 0, 0], rows + 1.0)
    padding = 1 - sum(int(found.sum()) for _, found, _ in seen) / sum(batch[:, 0].numel() for batch, _, _ in seen)
    assert padding < 0.15  # a batch of random ones would be 37% padding
    longest = [batch.shape[2] for batch, _, _ in seen]
    assert longest != sorted(longest)
    assert [rows.tolist() for _, _, rows in batches] == [rows.tolist() for _, _, rows in seen]
    batches.sampler.set_epoch(1)
    assert [rows.tolist() for _, _, rows in batches] != [rows.tolist() for _, _, rows in seen]
