import contextlib
import io
import stat
import struct
import zipfile
import zlib

import numpy as np
import pytest

from ser.corpora import archive
from ser.corpora.archive import unpack
from ser.errors import DownloadError

BOUNDS = {"max_bytes": 1_000_000, "max_ratio": 100.0}


def member(name, *, mode=None):
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # past the constructor, which would mend some names
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0 if mode is None else mode << 16
    return info


def write_zip(path, members):
    """Write (name or ZipInfo, content) pairs as a zip, doubled names and all."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members:
            info = member(name) if isinstance(name, str) else name
            with zipped.open(info, "w") as file:
                file.write(content)
    return path


def refused(archive_path, *, match, **bounds):
    """Assert that unpacking is refused and leaves the folder as it was."""
    folder = archive_path.parent
    with pytest.raises(DownloadError, match=match) as caught:
        unpack(archive_path, folder / "unpacked", **{**BOUNDS, **bounds})
    assert str(archive_path) in str(caught.value)
    assert list(folder.iterdir()) == [archive_path]


def test_files_and_folders_come_out_as_they_went_in(tmp_path):
    contents = {
        "Actor_01/a.wav": np.random.default_rng(0).bytes(3_000_000),
        "Actor_01/b.wav": b"",
        "Actor_02/deep/c..wav": b"c",
        ".hidden": b"h",
    }
    members = [("Actor_01/", b""), (member("Empty/", mode=stat.S_IFDIR | 0o755), b""), *contents.items()]
    path = write_zip(tmp_path / "corpus.zip", members)
    unpack(path, tmp_path / "new" / "unpacked", max_bytes=4_000_000, max_ratio=2.0)

    unpacked = tmp_path / "new" / "unpacked"
    found = {file.relative_to(unpacked).as_posix(): file.read_bytes() for file in unpacked.rglob("*") if file.is_file()}
    assert found == contents
    assert (unpacked / "Empty").is_dir()
    assert list((tmp_path / "new").iterdir()) == [unpacked]
    assert path.exists()


@pytest.mark.parametrize("name", [
    "/etc/passwd", "//server/share/a.wav", "../a.wav", "Actor_01/../../a.wav", "Actor_01/..", "Actor_01/./a.wav",
    "Actor_01//a.wav", "Actor_01/.. /a.wav", "C:/a.wav", "C:a.wav", "a.wav:stream", "..\\a.wav", "Actor_01\\a.wav",
    "a.wav\0.txt", "",
])  # fmt: skip
def test_names_that_could_lead_outside_are_refused(tmp_path, name):
    path = write_zip(tmp_path / "hostile.zip", [("Actor_01/good.wav", b"good"), (name, b"bad")])
    refused(path, match="outside the folder")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = write_zip(tmp_path / "hostile.zip", [(member("link", mode=kind | 0o777), b"/etc/passwd")])
    refused(path, match="'link' is a link or a device")


@pytest.mark.parametrize(
    ("first", "second"),
    [("a.wav", "a.wav"), ("a.wav", "A.WAV"), ("caf\u00e9.wav", "cafe\u0301.wav"), ("a", "a/"), ("Actor/", "actor/")],
)
def test_doubled_names_are_refused(tmp_path, first, second):
    with pytest.warns(UserWarning, match="Duplicate name") if first == second else contextlib.nullcontext():
        path = write_zip(tmp_path / "hostile.zip", [(first, b""), (second, b"")])
    refused(path, match="occurs twice")


def test_a_member_never_writes_over_another(tmp_path, monkeypatch):
    """Some file system may take two names for one where the check of names does not."""
    monkeypatch.setattr(archive, "_check_names", lambda members: None)
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write_zip(tmp_path / "hostile.zip", [("a.wav", b"sound"), ("a.wav", b"other")])
    refused(path, match="could not be unpacked")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b/c", "A")])
def test_a_name_below_a_file_is_refused(tmp_path, names):
    refused(write_zip(tmp_path / "hostile.zip", [(name, b"x") for name in names]), match="below a file")


def test_encrypted_members_are_refused(tmp_path):
    path = write_zip(tmp_path / "hostile.zip", [("a.wav", b"secret")])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flags in the central directory
    path.write_bytes(content)
    refused(path, match="'a.wav' is encrypted")


def test_other_compression_is_refused(tmp_path):
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as zipped:
        zipped.writestr("a.wav", b"x" * 100)
    refused(path, match="another way")


def test_more_bytes_than_allowed_are_refused(tmp_path):
    noise = np.random.default_rng(0).bytes(600)
    path = write_zip(tmp_path / "large.zip", [("a.wav", noise), ("b.wav", noise)])
    refused(path, match="more than 1199 bytes", max_bytes=1199)
    unpack(path, tmp_path / "unpacked", max_bytes=1200, max_ratio=1.0)


def test_a_bomb_is_refused_by_its_ratio(tmp_path):
    path = write_zip(tmp_path / "bomb.zip", [("zeros.wav", bytes(500_000))])
    ratio = 500_000 / path.stat().st_size
    assert ratio > 200
    refused(path, match="more than", max_ratio=ratio * 0.99)
    unpack(path, tmp_path / "unpacked", max_bytes=500_000, max_ratio=ratio * 1.01)


def test_a_bomb_that_understates_its_size_is_refused(tmp_path):
    path = write_zip(tmp_path / "bomb.zip", [("zeros.wav", bytes(500_000))])
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 100)
    path.write_bytes(content)
    refused(path, match="is damaged", max_bytes=1_000)


def test_bytes_are_counted_while_they_are_copied():
    target = io.BytesIO()
    assert archive._copy(io.BytesIO(b"12345"), target, max_bytes=5) == 5
    assert target.getvalue() == b"12345"
    target = io.BytesIO()
    with pytest.raises(archive._Refused, match="more bytes than it says"):
        archive._copy(io.BytesIO(bytes(3 * archive._CHUNK)), target, max_bytes=archive._CHUNK)
    assert len(target.getvalue()) == archive._CHUNK


def test_the_budget_is_shared_by_all_members(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "corpus.zip", [("a.wav", b"x" * 30), ("b.wav", b"y" * 20)])
    budgets, copy = [], archive._copy

    def recorded_copy(source, target, *, max_bytes):
        budgets.append(max_bytes)
        return copy(source, target, max_bytes=max_bytes)

    monkeypatch.setattr(archive, "_copy", recorded_copy)
    unpack(path, tmp_path / "unpacked", max_bytes=100, max_ratio=100.0)
    assert budgets == [100, 70]


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as zipped:
        zipped.writestr("a.wav", b"the content")
    path.write_bytes(path.read_bytes().replace(b"the content", b"thE content"))
    refused(path, match="is damaged .*CRC")


@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>", b"PK\x03\x04"])
def test_what_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / "page.zip"
    path.write_bytes(content)
    refused(path, match="is damaged")


def test_any_damage_is_either_harmless_or_a_download_error(tmp_path):
    """Overwrite and cut a good archive at random; no other kind of error, nothing left, no wrong content."""
    contents = {f"Actor_{k:02d}/a.wav": zlib.compress(bytes([k])) * 5 for k in range(4)}
    good = write_zip(tmp_path / "good.zip", list(contents.items())).read_bytes()
    random = np.random.default_rng(0)
    outcomes = []
    for trial in range(300):
        folder = tmp_path / str(trial)
        folder.mkdir()
        damaged = bytearray(good)
        for place in random.integers(0, len(good), random.integers(1, 4)):
            damaged[place] = random.integers(0, 256)
        if trial % 3 == 0:
            del damaged[random.integers(0, len(good)) :]
        (folder / "damaged.zip").write_bytes(damaged)
        try:
            unpack(folder / "damaged.zip", folder / "unpacked", **BOUNDS)
        except DownloadError:
            assert [path.name for path in folder.iterdir()] == ["damaged.zip"]
            outcomes.append("refused")
        else:
            files = [path for path in (folder / "unpacked").rglob("*") if path.is_file()]
            assert {path.read_bytes() for path in files} <= set(contents.values())
            outcomes.append("unpacked")
    assert {"refused", "unpacked"} == set(outcomes)


def test_an_existing_destination_is_not_touched(tmp_path):
    path = write_zip(tmp_path / "corpus.zip", [("a.wav", b"new")])
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "unpacked" / "a.wav").write_bytes(b"old")
    with pytest.raises(DownloadError, match="exists already"):
        unpack(path, tmp_path / "unpacked", **BOUNDS)
    assert (tmp_path / "unpacked" / "a.wav").read_bytes() == b"old"


def test_a_missing_archive_and_an_unwritable_place_are_download_errors(tmp_path):
    with pytest.raises(DownloadError, match=r"absent\.zip"):
        unpack(tmp_path / "absent.zip", tmp_path / "unpacked", **BOUNDS)
    path = write_zip(tmp_path / "corpus.zip", [("a.wav", b"x")])
    with pytest.raises(DownloadError, match="could not be unpacked into"):
        unpack(path, path / "below a file" / "unpacked", **BOUNDS)
    assert list(tmp_path.iterdir()) == [path]
