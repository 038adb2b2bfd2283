"""Recordings, and a cache that holds their features."""

import shutil

import pytest

from ser.corpora.reading import find_recordings
from ser.data import cache as preparation
from ser.data.cache import prepare
from ser.data.recipe import Sample
from tests.prepared import RECIPE


@pytest.fixture(scope="module")
def recordings(tiny_corpus):
    return find_recordings(tiny_corpus)[:12]


@pytest.fixture(scope="module")
def samples(recordings):
    return [*(Sample(recording=r) for r in recordings), *(Sample(recording=r, copy=1) for r in recordings)]


@pytest.fixture(scope="module")
def filled(samples, tmp_path_factory):
    """A cache that holds every sample, and what was prepared. Not to be written to."""
    cache_dir = tmp_path_factory.mktemp("cache")
    return cache_dir, prepare(samples, RECIPE, cache_dir=cache_dir, workers=1)


@pytest.fixture
def cache_dir(filled, tmp_path):
    """A copy of that cache, to be spoilt."""
    return shutil.copytree(filled[0], tmp_path / "cache")


@pytest.fixture
def made(monkeypatch):
    """The samples whose features are made, rather than read from the cache; by one worker, as this is no pickle."""
    made = []
    make_entries = preparation._make_entries

    def remember(task, *, recipe):
        recording, copies = task
        made.extend(Sample(recording=recording, copy=copy) for copy, _ in copies)
        return make_entries(task, recipe=recipe)

    monkeypatch.setattr(preparation, "_make_entries", remember)
    return made
