"""The digests of files: read once, known again while a file is unchanged, and never for longer."""

import hashlib
import os

import pytest

from ser.data import digests
from ser.data.digests import KEPT, content_digests


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three files, in a place where their digests are kept although they are few and new."""
    monkeypatch.setattr(digests, "_KEPT_FROM", 2)
    monkeypatch.setattr(digests, "_SETTLED", -1.0)
    paths = [tmp_path / f"{k}.wav" for k in range(3)]
    for k, path in enumerate(paths):
        path.write_bytes(bytes([k]) * 100)
    return paths


@pytest.fixture
def was_read(monkeypatch):
    """The files that are read."""
    was_read = []
    content_digest = digests.content_digest

    def remember(path):
        was_read.append(path)
        return content_digest(path)

    monkeypatch.setattr(digests, "content_digest", remember)
    return was_read


def expected(paths):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_files_are_read_once(files, was_read, tmp_path):
    for _ in range(2):
        assert content_digests(files, cache_dir=tmp_path / "cache") == expected(files)
    assert sorted(was_read) == files  # by several threads


def test_a_changed_file_is_read_again_though_its_size_and_its_time_are_kept(files, was_read, tmp_path):
    content_digests(files, cache_dir=tmp_path / "cache")
    before = files[1].stat()
    files[1].write_bytes(b"x" * 100)
    os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert content_digests(files, cache_dir=tmp_path / "cache") == expected(files)
    assert was_read[3:] == [files[1]]


def test_names_of_one_file_are_read_once(files, was_read, tmp_path):
    (tmp_path / "again.wav").hardlink_to(files[0])
    named = [*files, tmp_path / "again.wav"]
    assert content_digests(named, cache_dir=tmp_path / "cache") == expected(named)
    assert sorted(was_read) == files


@pytest.mark.parametrize("spoil", [lambda content: content[:-1], lambda content: content[:-1] + b"!", lambda _: b""])
def test_damaged_digests_are_read_again(files, was_read, tmp_path, spoil):
    content_digests(files, cache_dir=tmp_path / "cache")
    kept = tmp_path / "cache" / KEPT
    kept.write_bytes(spoil(kept.read_bytes()))
    assert content_digests(files, cache_dir=tmp_path / "cache") == expected(files)
    assert len(was_read) == 6


def test_nothing_is_kept_of_few_files_or_of_those_that_may_be_written_to_at_the_moment(files, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED", 100.0)
    content_digests(files, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(digests, "_SETTLED", -1.0)
    monkeypatch.setattr(digests, "_KEPT_FROM", 4)
    content_digests(files, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
