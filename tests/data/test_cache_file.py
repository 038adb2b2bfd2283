from pathlib import Path

import numpy as np
import pytest

from ser.data._cache_file import entry_path, read_entry, write_entry

FEATURES = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


@pytest.fixture
def entry(tmp_path):
    path = tmp_path / "ab" / "cd.features"
    write_entry(path, FEATURES)
    return path


def test_an_entry_is_read_as_it_was_written(entry):
    np.testing.assert_array_equal(read_entry(entry), FEATURES)
    write_entry(entry, FEATURES[:, ::2].T)  # neither contiguous nor of the same shape
    np.testing.assert_array_equal(read_entry(entry), FEATURES[:, ::2].T)
    assert [path.name for path in entry.parent.iterdir()] == ["cd.features"]


def test_entries_are_spread_over_folders(tmp_path):
    assert entry_path(tmp_path, "abcdef01") == tmp_path / "ab" / "cdef01.features"


def test_an_absent_entry_is_none(tmp_path):
    assert read_entry(tmp_path / "ab" / "cd.features") is None


def test_a_flip_of_any_byte_is_noticed(entry):
    whole = entry.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        entry.write_bytes(flipped)
        assert read_entry(entry) is None, place


def test_an_entry_cut_short_or_too_long_is_noticed(entry):
    whole = entry.read_bytes()
    for length in range(len(whole)):
        entry.write_bytes(whole[:length])
        assert read_entry(entry) is None, length
    entry.write_bytes(whole + b"\0")
    assert read_entry(entry) is None


def test_foreign_content_is_noticed(entry):
    for content in (b"", b"these are words and no features at all", bytes(1000)):
        entry.write_bytes(content)
        assert read_entry(entry) is None


def test_a_write_that_fails_leaves_the_entry_as_it_was(entry, monkeypatch):
    def fill_the_disk(path, content):
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="No space"):
        write_entry(entry, FEATURES + 1)
    np.testing.assert_array_equal(read_entry(entry), FEATURES)
    assert [path.name for path in entry.parent.iterdir()] == ["cd.features"]
