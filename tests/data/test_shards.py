"""Features in shards hold what the cache holds, and processes share them: every sample once, each reading its own."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from ser.augment.waveform import AugmentSettings
from ser.corpora.selection import DataSettings
from ser.data.datamodule import EmotionData
from ser.data.normalisation import Moments
from ser.data.recipe import Recipe
from ser.data.sharded import ShardBatchSampler, deal_shards
from ser.data.shards import INDEX, prepare_shards
from ser.data.tasks import part_name
from ser.errors import SerError, SettingsError
from ser.features.settings import FeatureSettings

FEATURES = FeatureSettings(groups=("zcr", "rms"), max_length=40)
SPLIT = {"split": "speaker", "validation_speakers": (2,), "test_speakers": (3,)}


def settings_of(root, folder=None, **data):
    chosen = {"root": str(root), "workers": 1, "shard_size": 4, "shuffle_shards": 2, "batch_size": 6, **SPLIT, **data}
    return DataSettings(shards=None if folder is None else str(folder), **chosen)


def recipe_of(data):
    return Recipe(features=FEATURES, augment=AugmentSettings(), augment_seed=data.augment_seed)


def prepared(root, folder, **data):
    settings = settings_of(root, folder, **data)
    return list(prepare_shards(settings, recipe_of(settings), data_dir=folder))


def data_of(settings, folder, **given):
    options = {"features": FEATURES, "augment": AugmentSettings(), "seed": 0, "per_band": False, **given}
    return EmotionData(settings, data_dir=folder, cache_dir=folder / "cache", **options)


@pytest.fixture(scope="module")
def root(tiny_corpus, tmp_path_factory):
    """The tiny corpus, of which one training recording is no sound."""
    root = tmp_path_factory.mktemp("corpus")
    for path in sorted(tiny_corpus.rglob("*.wav")):
        (root / path.name).symlink_to(path)
    spoilt = sorted(root.glob("*-01.wav"))[3]
    spoilt.unlink()
    spoilt.write_text("words")
    return root


@pytest.fixture(scope="module")
def exact(root, tmp_path_factory):
    """The folder of shards in single precision; not to be written to."""
    folder = tmp_path_factory.mktemp("shards")
    prepared(root, folder, shard_dtype="float32")
    return folder


@pytest.fixture(scope="module", params=[False, True], ids=["per coefficient", "per band"])
def both(request, root, exact, tmp_path_factory):
    """The data by the cache, and by the shards."""
    folder = tmp_path_factory.mktemp("data")
    found = [
        data_of(settings_of(root, shards, shard_dtype="float32"), folder, per_band=request.param)
        for shards in (None, exact)
    ]
    for data in found:
        data.setup()
    return found


def by_sample(data, part):
    prepared = data.prepared[part]
    return {
        (sample.recording, sample.copy): features
        for sample, features in zip(prepared.samples, prepared.features[:], strict=True)
    }


def test_shards_hold_the_features_of_the_cache_bit_by_bit(both):
    cache, shards = both
    for part in ("train", "validation", "test"):
        expected, found = by_sample(cache, part), by_sample(shards, part)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert shards.failures == cache.failures
    assert len(shards.failures) == 1
    for part in ("train", "validation", "test"):
        assert set(getattr(shards.split, part)) == set(getattr(cache.split, part))
    assert shards.class_names == cache.class_names


def test_statistics_of_shards_are_merged_to_those_of_all_samples(both):
    cache, shards = both
    for name in ("mean_", "scale_"):
        np.testing.assert_allclose(getattr(shards.scaler, name), getattr(cache.scaler, name), rtol=1e-9, atol=1e-12)


def test_moments_merge_to_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    rows = rng.normal(50, 3, size=(40, 5)).astype(np.float32)
    rows[:, 2] = 0.1  # never varies
    found = Moments.of(rows[:0])
    for part in np.split(rows, [7, 8, 30]):
        found = found.merged(Moments.of(part))
    expected = StandardScaler().fit(rows.astype(np.float64))
    np.testing.assert_allclose(found.scaler().mean_, expected.mean_, rtol=1e-12)
    np.testing.assert_allclose(found.scaler().scale_, expected.scale_, rtol=1e-12)
    assert found.scaler().scale_[2] == 1


def epoch_of(shards, *, world_size, epoch=0, seed=0, **given):
    """The batches of each process, as lists of indices."""
    found = []
    for rank in range(world_size):
        sampler = ShardBatchSampler(
            shards, torch.arange(len(shards)), seed=seed, rank=rank, world_size=world_size, **given
        )
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        found.append(batches)
    return found


SHARDS = torch.repeat_interleave(torch.arange(7), torch.tensor([8, 8, 7, 8, 8, 8, 3]))


@pytest.mark.parametrize("by_length", [False, True])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_sample_comes_once_in_equally_many_batches(world_size, by_length):
    given = {"batch_size": 6, "buffer": 2, "by_length": by_length}
    first = epoch_of(SHARDS, world_size=world_size, **given)
    assert len({len(batches) for batches in first}) == 1
    assert sorted(index for batches in first for batch in batches for index in batch) == list(range(50))
    for batches in first:
        sizes = {len(batch) for batch in batches}
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1
    assert epoch_of(SHARDS, world_size=world_size, **given) == first  # a resumed run draws the same
    assert epoch_of(SHARDS, world_size=world_size, epoch=1, **given) != first
    assert epoch_of(SHARDS, world_size=world_size, seed=1, **given) != first
    # A process takes its own shards, in every epoch.
    own = [{int(SHARDS[index]) for batch in batches for index in batch} for batches in first]
    assert own == [set(numbers) for numbers in deal_shards({0: 8, 1: 8, 2: 7, 3: 8, 4: 8, 5: 8, 6: 3}, world_size)]


def test_without_a_seed_samples_come_in_their_order():
    (batches,) = epoch_of(SHARDS, world_size=1, seed=None, batch_size=6)
    assert [index for batch in batches for index in batch] == list(range(50))


def test_too_few_shards_for_the_processes_are_refused():
    with pytest.raises(SettingsError, match=r"8 processes, but 7 shards cannot"):
        epoch_of(SHARDS, world_size=8, batch_size=8)


def trainer_of(rank, world_size):
    device = SimpleNamespace(root_device=torch.device("cpu"))
    return SimpleNamespace(global_rank=rank, world_size=world_size, overfit_batches=0.0, strategy=device)


def test_a_process_opens_its_own_shards_and_holds_a_few(root, exact, tmp_path, monkeypatch):
    opened, seen, held = [], [], []
    open_file = pq.ParquetFile

    def remember(path, *arguments, **options):
        if Path(path).name != INDEX:
            opened[-1].add(Path(path).name)
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(pq, "ParquetFile", remember)
    for rank in range(2):
        opened.append(set())
        data = data_of(settings_of(root, exact, shard_dtype="float32", shuffle_shards=1, batch_size=2), tmp_path)
        data.trainer = trainer_of(rank, 2)
        data.setup()
        assert not opened[-1]  # the index alone
        loader, features = data.train_dataloader(), data.prepared["train"].features
        for epoch in range(2):
            loader.batch_sampler.set_epoch(epoch)
            for batch, *_ in loader:
                held.append(features.n_held)
                seen.extend(batch.sum(dim=(1, 2)).tolist() if epoch else [])
        assert len(loader) * 2 >= len(features) / 2
    assert opened[0].isdisjoint(opened[1])
    assert len(opened[0] | opened[1]) == len(list((exact / "train").glob("part-*")))
    assert max(held) < len(features)
    assert sorted(seen) == pytest.approx(sorted(features[:].sum(axis=(1, 2)).tolist()), rel=1e-5)


def test_half_precision_rounds_to_three_digits(root, exact, tmp_path):
    prepared(root, tmp_path / "half")
    full, half = (
        data_of(settings_of(root, folder, shard_dtype=dtype), tmp_path)
        for folder, dtype in ((exact, "float32"), (tmp_path / "half", "float16"))
    )
    for data in (full, half):
        data.setup()
    expected, found = by_sample(full, "train"), by_sample(half, "train")
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values.astype(np.float16).astype(np.float32))


def test_a_preparation_goes_on_where_it_was_killed(root, exact, tmp_path):
    reports = prepared(root, tmp_path, shard_dtype="float32")
    gone = tmp_path / "train" / part_name(1)
    before = gone.read_bytes()
    gone.unlink()
    again = prepared(root, tmp_path, shard_dtype="float32")
    assert len(again) == len(reports)
    assert [(part, one.number) for part, one in again if one.seconds is not None] == [("train", 1)]
    assert pq.read_table(gone).equals(pq.read_table(exact / "train" / part_name(1)))
    assert gone.read_bytes() == before
    with pytest.raises(SettingsError, match=r"was begun with another data\.augment_count \(1, not 2\)"):
        prepared(root, tmp_path, shard_dtype="float32", augment_count=2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": {"augment_seed": 1}}, r"data\.augment_seed is 1, but the shards in .* were prepared with 42; give"),
        ({"data": {"classes": ("calm", "sad")}}, r"data\.classes is \['calm', 'sad'\], but the shards"),
        ({"features": dataclasses.replace(FEATURES, max_length=41)}, r"features\.max_length is 41, but the shards"),
        ({"augment": AugmentSettings(min_steps=4, max_steps=4)}, r"augment is .*, but the shards"),
    ],
)
def test_other_settings_than_those_of_the_shards_are_refused(root, exact, tmp_path, changed, message):
    settings = settings_of(root, exact, shard_dtype="float32", **changed.pop("data", {}))
    with pytest.raises(SettingsError, match=message):
        data_of(settings, tmp_path, **changed).setup()


def test_what_shards_cannot_do_is_refused(root, exact, tmp_path):
    with pytest.raises(SettingsError, match=r"index\.parquet is missing; run `ser prepare`"):
        data_of(settings_of(root, tmp_path), tmp_path).setup()
    with pytest.raises(SettingsError, match=r"recordings_per_speaker is not for data\.shards"):
        settings_of(root, exact, recordings_per_speaker=2)
    data = data_of(settings_of(root, exact, shard_dtype="float32"), tmp_path)
    data.setup()
    with pytest.raises(SettingsError, match="not for a frozen encoder"):
        data.use_states(lambda *_: None, key="", n_rows=1)


def test_a_damaged_shard_is_named(root, tmp_path):
    prepared(root, tmp_path)
    data = data_of(settings_of(root, tmp_path), tmp_path)
    data.setup()
    path = tmp_path / "validation" / part_name(0)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SerError, match=r"part-000000\.parquet is damaged or gone .*; delete it, and run `ser prepare`"):
        data.prepared["validation"].features[:2]


def test_features_that_half_precision_cannot_hold_are_refused(root, tmp_path, monkeypatch):
    monkeypatch.setattr("ser.data.shards.features_of", lambda *_: np.full((2, 3), 1e5, dtype=np.float32))
    with pytest.raises(SettingsError, match=r"give data\.shard_dtype=float32"):
        prepared(root, tmp_path)
