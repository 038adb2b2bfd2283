"""The short form of soak/shared_cache.py."""

import pytest

from soak.shared_cache import rounds


@pytest.mark.timeout(600)
def test_two_processes_fill_one_cache_and_a_flipped_bit_is_mended(tmp_path):
    assert list(rounds(1, seed=0, folder=tmp_path)) == [{"same": True, "mended": True}]
