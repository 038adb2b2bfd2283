"""The cache of an encoder's states: made once, padded, and refused where damaged."""

import numpy as np
import pytest
import torch

from ser.data.samplers import FeatureDataset
from ser.data.states import map_states, store_states, write_states
from ser.errors import SerError

LENGTHS = np.array([5, 7, 5], dtype=np.int64)


class Counting:
    """Two rows for each of a waveform's, and how often it was called."""

    def __init__(self):
        self.calls = 0

    def __call__(self, features, lengths):
        self.calls += 1
        assert features.shape[2] == lengths[0]
        return np.concatenate([features, -features], axis=1).astype(np.float16)


@pytest.fixture
def waveforms():
    """Of which the first and the last are equal."""
    features = np.random.default_rng(0).normal(size=(3, 4, 8)).astype(np.float32)
    features[np.arange(8) >= LENGTHS[:, None, None].repeat(4, axis=1)] = 0
    features[2] = features[0]
    return features


def store(waveforms, encode, cache_dir, key="a"):
    return store_states(waveforms, LENGTHS, encode, key=key, n_rows=8, cache_dir=cache_dir)


def test_states_are_made_once_and_read_padded(waveforms, tmp_path):
    encode = Counting()
    states = store(waveforms, encode, tmp_path)
    assert encode.calls == 2  # equal sound is one entry
    assert states.shape == (3, 8, 8)
    expected = np.concatenate([waveforms, -waveforms], axis=1).astype(np.float16)
    np.testing.assert_array_equal(states[:], expected)
    np.testing.assert_array_equal(states[[2, 1]], expected[[2, 1]])
    np.testing.assert_array_equal(states.of(np.array([1]))[:], expected[1:2])
    store(waveforms, encode, tmp_path)
    assert encode.calls == 2
    store(waveforms, encode, tmp_path, key="another encoder")
    assert encode.calls == 4


def test_batches_come_from_the_cache(waveforms, tmp_path):
    states = store(waveforms, Counting(), tmp_path)
    data = FeatureDataset(states, torch.from_numpy(LENGTHS), torch.tensor([0, 1, 2]), crop=True)
    features, lengths, labels = data.__getitems__([2, 0])
    assert features.dtype == torch.float16
    np.testing.assert_array_equal(features.numpy(), states[[2, 0]][:, :, :5])
    assert (lengths.tolist(), labels.tolist()) == ([5, 5], [2, 0])
    np.testing.assert_array_equal(data[1][0].numpy(), states[[1]][0])


def test_a_part_of_an_entry_is_made_again_and_a_flipped_byte_is_named(waveforms, tmp_path):
    encode = Counting()
    store(waveforms, encode, tmp_path)
    first, second = sorted((tmp_path / "states").rglob("*.states"))
    first.write_bytes(first.read_bytes()[:-2])
    content = bytearray(second.read_bytes())
    content[-1] ^= 1
    second.write_bytes(content)
    states = store(waveforms, encode, tmp_path)
    assert encode.calls == 3
    with pytest.raises(SerError, match=f"{second} is damaged or gone; delete it"):
        states[:]
    second.unlink()
    with pytest.raises(SerError, match="delete it"):
        states[:]


def test_an_entry_of_other_rows_is_none(tmp_path):
    write_states(tmp_path / "a.states", np.zeros((8, 3), dtype=np.float16))
    assert map_states(tmp_path / "a.states", n_rows=8).shape == (8, 3)
    assert map_states(tmp_path / "a.states", n_rows=9) is None
    assert map_states(tmp_path / "b.states", n_rows=8) is None
    (tmp_path / "a.states").write_bytes(b"SER")
    assert map_states(tmp_path / "a.states", n_rows=8) is None
