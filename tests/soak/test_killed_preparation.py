"""The short form of soak/killed_preparation.py."""

import pytest

from soak.killed_preparation import MEMBERS, VOICES, kill_downloads, kill_preparations

pytestmark = pytest.mark.timeout(600)


def test_a_killed_preparation_is_finished_to_the_byte(tmp_path):
    (done,) = kill_preparations(1, seed=2, folder=tmp_path)
    assert done["same"]
    assert len(list((tmp_path / "undisturbed").rglob("*.features"))) == 2 * len(VOICES.names())


def test_a_killed_download_is_finished_to_the_byte(tmp_path):
    (done,) = kill_downloads(1, seed=0, folder=tmp_path)
    assert done["same"]
    assert len(list((tmp_path / "undisturbed").rglob("*.wav"))) == len(MEMBERS)
