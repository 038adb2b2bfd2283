"""Features that stay in the cache give what features in memory give, to the bit; what is damaged is made again."""

from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from ser.augment.spectrogram import SpectrogramAugmentSettings
from ser.augment.waveform import AugmentSettings
from ser.corpora.selection import DataSettings
from ser.data import datamodule, storage
from ser.data.cache import prepare
from ser.data.datamodule import EmotionData
from ser.data.recipe import Sample
from ser.data.storage import StoredFeatures, available_memory, fits_in_memory
from ser.errors import AudioError
from ser.features.settings import FeatureSettings
from ser.models.utterance_heads import FunctionalsHead, KernelHead
from ser.training.utterance_head import fit_functionals, fit_kernel
from tests.prepared import RECIPE, prepare_here

LOGMEL = FeatureSettings(n_fft=1024, hop_length=441, n_mels=16, max_length=48, groups=("logmel", "pitch"))


@pytest.fixture(scope="module")
def both(tiny_corpus, tmp_path_factory):
    """Return a function from keys of the group data to the data in memory, and to the data that stay in the cache."""
    folder = tmp_path_factory.mktemp("data")

    def build(*, per_band, features=LOGMEL, **data):
        made = []
        for memory_gb in (1.0, 0.0):
            one = EmotionData(
                DataSettings(root=str(tiny_corpus), workers=1, test_size=0.4, memory_gb=memory_gb, **data),
                features=features,
                augment=AugmentSettings(),
                data_dir=folder / "data",
                cache_dir=folder / "cache",
                seed=3,
                per_band=per_band,
            )
            one.setup()
            made.append(one)
        return made

    return build


def all_batches(data):
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    return list(chain.from_iterable(chain.from_iterable(loaders)))


@pytest.mark.parametrize("per_band", [False, True])
@pytest.mark.parametrize("most_fitted", [20_000, 20])
def test_batches_and_statistics_are_those_of_features_in_memory(both, monkeypatch, per_band, most_fitted):
    monkeypatch.setattr(datamodule, "MOST_FITTED", most_fitted)
    here, there = both(per_band=per_band, val_size=0.4)
    assert isinstance(there.prepared["train"].features, StoredFeatures)
    assert not isinstance(here.prepared["train"].features, StoredFeatures)
    for name in ("mean_", "var_", "scale_", "n_samples_seen_"):
        np.testing.assert_array_equal(getattr(here.scaler, name), getattr(there.scaler, name))
    for one, other in zip(all_batches(here), all_batches(there), strict=True):
        assert torch.equal(one, other)
    for part, prepared in here.prepared.items():
        np.testing.assert_array_equal(prepared.features, np.asarray(there.prepared[part].features))


def test_of_many_samples_some_are_fitted_and_the_seed_draws_them(both, monkeypatch):
    whole, _ = both(per_band=True)
    assert whole.rows_to_fit() is None  # so that nothing changes for a corpus of ordinary size
    monkeypatch.setattr(datamodule, "MOST_FITTED", 20)
    drawn, _ = both(per_band=True)
    rows = drawn.rows_to_fit()
    assert len(set(rows.tolist())) == 20
    assert (np.diff(rows) > 0).all()
    train = drawn.prepared["train"]
    real = [train.features[row][:, : train.lengths[row]] for row in rows]
    np.testing.assert_allclose(drawn.scaler.mean_, np.concatenate(real, axis=1).mean(axis=1, dtype=float), rtol=1e-5)
    assert not np.array_equal(drawn.scaler.mean_, whole.scaler.mean_)
    drawn.seed = 4
    assert not np.array_equal(drawn.rows_to_fit(), rows)


def test_the_utterance_level_head_is_the_same(both, monkeypatch):
    noisy = SpectrogramAugmentSettings(vtlp=0.05, speed=0.1, eq=0.5, noise=0.5)
    monkeypatch.setattr(datamodule, "MOST_FITTED", 30)
    fitted = []
    for data in both(per_band=True):
        rows = data.rows_to_fit()
        features, lengths, labels = data.tensors("train", rows)
        linear, kernel = (kind(n_bands=16, n_classes=8) for kind in (FunctionalsHead, KernelHead))
        fit_functionals(linear, features, lengths, labels, feature_settings=LOGMEL, spectrogram=noisy, seed=1)
        fit_kernel(kernel, features, lengths, labels, data.groups("train")[rows], seed=1)
        fitted.append({**linear.state_dict(), **{f"kernel.{name}": one for name, one in kernel.state_dict().items()}})
    for name, one in fitted[0].items():
        assert torch.equal(one, fitted[1][name]), name


def test_a_selection_is_that_of_the_matrix(filled, samples):
    cache_dir, expected = filled
    stored = prepare(samples, RECIPE, cache_dir=cache_dir, workers=1, in_memory=False)
    assert stored.samples == expected.samples
    np.testing.assert_array_equal(stored.lengths, expected.lengths)
    assert stored.features.shape == expected.features.shape
    rows = np.array([7, 3, 3])
    for chosen in (slice(None), slice(20, 40), [5], rows):
        np.testing.assert_array_equal(stored.features[chosen], expected.features[chosen])
    np.testing.assert_array_equal(stored.features.of(rows)[1:], expected.features[[3, 3]])


def test_without_a_cache_the_entries_are_made_and_what_cannot_be_read_is_left_out(filled, recordings, tmp_path):
    bad = tmp_path / f"{recordings[1].id}.wav"
    bad.write_text("words")
    mixed = [recordings[0], replace(recordings[1], path=bad), *recordings[2:4]]
    asked = [Sample(recording=recording) for recording in mixed]
    stored = prepare(asked, RECIPE, cache_dir=tmp_path / "cache", workers=1, in_memory=False)
    assert [one.path for one in stored.failures] == [bad]
    np.testing.assert_array_equal(stored.features, filled[1].features[[0, 2, 3]])


def test_recordings_of_equal_content_share_an_entry_that_is_made_once(recordings, tmp_path, made):
    paths = [tmp_path / f"{k}.wav" for k in range(4)]
    for path in paths:
        path.hardlink_to(recordings[0].path)
    asked = [Sample(recording=replace(recordings[0], path=path, id=path.stem)) for path in paths]
    for in_memory in (True, False):
        found = prepare(asked, RECIPE, cache_dir=tmp_path / "cache", workers=1, in_memory=in_memory)
        assert len(np.unique(np.asarray(found.features), axis=0)) == len(made) == 1
    assert len(list(tmp_path.rglob("*.features"))) == 1


def test_each_of_them_is_named_where_their_content_is_no_sound(recordings, tmp_path):
    paths = [tmp_path / f"{k}.wav" for k in range(2)]
    for path in paths:
        path.write_text("words")
    asked = [Sample(recording=replace(recordings[0], path=path, id=path.stem)) for path in paths]
    found = prepare_here([Sample(recording=recordings[1]), *asked], tmp_path / "cache")
    assert [str(path) in reason for path, reason in zip(paths, found.failures.values(), strict=True)] == [True, True]


@pytest.mark.parametrize("spoil", ["flip", "remove"])
def test_an_entry_that_is_damaged_while_it_is_used_is_made_again(filled, samples, cache_dir, made, spoil):
    stored = prepare(samples, RECIPE, cache_dir=cache_dir, workers=1, in_memory=False)
    for path in cache_dir.rglob("*.features"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.unlink()
        if spoil == "flip":
            path.write_bytes(content)
    np.testing.assert_array_equal(stored.features, filled[1].features)
    assert len(made) == 24


def test_one_that_cannot_be_made_again_is_named(samples, cache_dir, monkeypatch, tmp_path):
    stored = prepare(samples[:1], RECIPE, cache_dir=cache_dir, workers=1, in_memory=False)
    for path in cache_dir.rglob("*.features"):
        path.unlink()
    monkeypatch.setattr("ser.data.cache._make_entries", lambda task, *, recipe: "gone")
    with pytest.raises(AudioError, match=r"\.features is damaged and could not be made again"):
        stored.features[:]


def test_the_budget_is_that_of_the_settings_or_half_of_what_is_free(monkeypatch, caplog):
    features = FeatureSettings(groups=("zcr", "rms"), max_length=125)  # 1000 bytes a sample
    assert fits_in_memory(10**6, features, memory_gb=1.0)
    assert not fits_in_memory(10**6 + 1, features, memory_gb=1.0)
    monkeypatch.setattr(storage, "available_memory", lambda: 2000)
    assert fits_in_memory(1, features, memory_gb=None)
    with caplog.at_level("INFO"):
        assert not fits_in_memory(2, features, memory_gb=None)
    assert "each batch is read from the cache" in caplog.text


def test_free_memory_is_within_the_limit_of_the_container(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(storage, "_CONTAINER_LIMIT", limit)
    free = available_memory()
    assert free > 10**7
    for text, expected in (("max\n", None), ("4096\n", 4096)):
        limit.write_text(text)
        assert expected is None or available_memory() == expected
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: "")  # no Linux
    assert available_memory() > 10**7
    monkeypatch.delattr("os.sysconf")  # Windows
    assert available_memory() == 4 * 10**9
