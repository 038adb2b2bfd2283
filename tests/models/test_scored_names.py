"""The names of the recordings that were kept from training: a list of a few, hashes of many."""

import base64
import hashlib
from pathlib import Path

import numpy as np
import pytest

from ser.errors import CheckpointError
from ser.features.validation import as_plain
from ser.models.metadata import read_metadata, with_scored
from ser.models.scored_names import MOST_NAMES, ScoredNames, hashes_of

MANY = [f"corpus/speaker {k % 7}/é{k}.wav" for k in range(6_000)]


def test_few_names_are_kept_and_many_are_hashed_and_both_are_found(tiny_metadata):
    few = with_scored(tiny_metadata, MANY[:MOST_NAMES])
    many = with_scored(tiny_metadata, MANY)
    assert few.scored_recordings == tuple(MANY[:MOST_NAMES])
    assert few.scored_hashes == many.scored_recordings == ()
    for metadata, names in ((few, MANY[:MOST_NAMES]), (many, MANY)):
        found = metadata.scored_names
        assert len(found) == len(names)
        assert all(name in found for name in names)
        assert not any(f"{name}!" in found for name in names)
    assert not tiny_metadata.scored_names


def test_a_hash_is_eight_bytes_of_the_sha_256():
    lines = hashes_of(MANY)
    values = np.concatenate([np.frombuffer(base64.b64decode(line), dtype="<u8") for line in lines])
    assert set(values.tolist()) == {
        int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") for name in MANY
    }
    assert lines == hashes_of(reversed(MANY))  # the order of the names does not show


def test_metadata_with_the_hashes_of_a_large_corpus_are_read(tiny_metadata):
    names = [str(k) for k in range(200_000)]
    values = as_plain(with_scored(tiny_metadata, names))
    read = read_metadata(values, Path("some.ckpt")).scored_names
    assert len(read) == len(names)
    assert all(name in read for name in names[:3])


@pytest.mark.parametrize("lines", [["no base64!"], ["AAAA"], ["é"]])
def test_what_is_no_hash_is_refused(tiny_metadata, lines):
    with pytest.raises(CheckpointError, match="scored_hashes"):
        read_metadata(as_plain(tiny_metadata) | {"scored_hashes": lines}, Path("some.ckpt"))


def test_no_name_is_in_none():
    assert "a" not in ScoredNames(())
