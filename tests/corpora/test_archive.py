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
DIRECTORY = b"PK\x01\x02"  # begins an entry of the central directory
IN_ENTRY = {"flags": (8, "<H"), "checksum": (16, "<I"), "size": (24, "<I")}  # places there, and formats
pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")


def member(name, *, mode=0, method=zipfile.ZIP_DEFLATED):
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # past the constructor, which would mend some names
    info.compress_type, info.external_attr = method, mode << 16
    return info


def write_zip(path, *members):
    """Write (name or ZipInfo, content) pairs as a zip, doubled names and all."""
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in members:
            with zipped.open(member(name) if isinstance(name, str) else name, "w") as file:
                file.write(content)
    return path


def change_entry(path, **values):
    """Overwrite fields of the first entry of the central directory."""
    content = bytearray(path.read_bytes())
    for field, value in values.items():
        place, layout = IN_ENTRY[field]
        struct.pack_into(layout, content, content.index(DIRECTORY) + place, value)
    path.write_bytes(content)


def refused(path, *, match, **bounds):
    """Assert that unpacking is refused and leaves the folder unchanged."""
    with pytest.raises(DownloadError, match=match) as caught:
        unpack(path, path.parent / "unpacked", **{**BOUNDS, **bounds})
    assert str(path) in str(caught.value)
    assert list(path.parent.iterdir()) == [path]


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_and_folders_come_out_as_they_went_in(tmp_path):
    contents = {
        "Actor_01/a.wav": np.random.default_rng(0).bytes(3_000_000),
        **{"Actor_01/b.wav": b"", "Actor_02/deep/c..wav": b"c", ".hidden": b"h"},
    }
    folders = [("Actor_01/", b""), (member("Empty/", mode=stat.S_IFDIR | 0o755), b"")]
    path = write_zip(tmp_path / "corpus.zip", *folders, *contents.items())
    unpacked = tmp_path / "new" / "unpacked"
    unpack(path, unpacked, max_bytes=4_000_000, max_ratio=2.0)
    assert files_in(unpacked) == contents
    assert (unpacked / "Empty").is_dir()
    assert list((tmp_path / "new").iterdir()) == [unpacked]
    assert path.exists()


OUTSIDE = (
    "/etc/passwd", "//server/share/a.wav", "../a.wav", "Actor_01/../../a.wav", "Actor_01/..", "Actor_01/./a.wav",
    "Actor_01//a.wav", "Actor_01/.. /a.wav", "C:/a.wav", "C:a.wav", "a.wav:stream", "..\\a.wav", "Actor_01\\a.wav",
    "a.wav\0.txt", "",
)  # fmt: skip
LINKS = (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR)
TWICE = (("a.wav", "a.wav"), ("a.wav", "A.WAV"), ("caf\u00e9.wav", "cafe\u0301.wav"), ("a", "a/"), ("Act/", "act/"))
REFUSED = [
    *(([member(name)], "outside the folder") for name in OUTSIDE),
    *(([member("link", mode=kind | 0o777)], "'link' is a link or a device") for kind in LINKS),
    *((names, "occurs twice") for names in TWICE),
    *((names, "below a file") for names in (("a", "a/b"), ("a/b/c", "A"))),
    ([member("a.wav", method=zipfile.ZIP_LZMA)], "'a.wav' is compressed in another way"),
]


@pytest.mark.parametrize(("members", "message"), REFUSED)
def test_members_that_are_no_plain_files_of_their_own_are_refused(tmp_path, members, message):
    path = write_zip(tmp_path / "hostile.zip", ("Actor_01/good.wav", b"good"), *((name, b"x") for name in members))
    refused(path, match=message)


def test_a_member_never_writes_over_another(tmp_path, monkeypatch):
    """Some file system may take two names for one where the check of names does not."""
    monkeypatch.setattr(archive, "_refusal", lambda members, max_bytes: None)
    path = write_zip(tmp_path / "hostile.zip", ("a.wav", b"sound"), ("a.wav", b"other"))
    refused(path, match="could not be unpacked")


def test_encrypted_members_are_refused(tmp_path):
    path = write_zip(tmp_path / "hostile.zip", ("a.wav", b"secret"))
    change_entry(path, flags=1)
    refused(path, match="'a.wav' is encrypted")


@pytest.mark.parametrize("content", [np.random.default_rng(0).bytes(600_000), bytes(500_000)], ids=["noise", "bomb"])
def test_more_bytes_than_allowed_are_refused(tmp_path, content):
    path = write_zip(tmp_path / "large.zip", ("a.wav", content[::2]), ("b.wav", content[1::2]))
    size, ratio = len(content), len(content) / path.stat().st_size
    refused(path, match=f"more than {size - 1} bytes", max_bytes=size - 1, max_ratio=1e4)
    refused(path, match="more than", max_ratio=ratio * 0.99)
    unpack(path, tmp_path / "unpacked", max_bytes=size, max_ratio=ratio * 1.01)


def test_a_bomb_that_understates_its_size_yields_no_more_than_it_states(tmp_path):
    path = write_zip(tmp_path / "bomb.zip", ("zeros.wav", bytes(500_000)))
    change_entry(path, size=100)
    refused(path, match=r"is damaged .*CRC", max_bytes=1_000)
    change_entry(path, checksum=zlib.crc32(bytes(100)))
    unpack(path, tmp_path / "unpacked", **BOUNDS)
    assert files_in(tmp_path / "unpacked") == {"zeros.wav": bytes(100)}


def test_a_flipped_bit_is_found(tmp_path):
    path = write_zip(tmp_path / "damaged.zip", (member("a.wav", method=zipfile.ZIP_STORED), b"the content"))
    path.write_bytes(path.read_bytes().replace(b"the content", b"thE content"))
    refused(path, match=r"is damaged .*CRC")


@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>", b"PK\x03\x04"])
def test_what_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / "page.zip"
    path.write_bytes(content)
    refused(path, match="is damaged")


def test_any_damage_is_either_harmless_or_a_download_error(tmp_path):
    """Overwrite and cut a good archive at random; no other kind of error, nothing left, no wrong content."""
    contents = {f"Actor_{k:02d}/a.wav": zlib.compress(bytes([k])) * 5 for k in range(4)}
    good = write_zip(tmp_path / "good.zip", *contents.items()).read_bytes()
    random = np.random.default_rng(0)
    n_unpacked = 0
    for trial in range(300):
        path = tmp_path / str(trial) / "damaged.zip"
        path.parent.mkdir()
        damaged = bytearray(good)
        for place in random.integers(0, len(good), random.integers(1, 4)):
            damaged[place] = random.integers(0, 256)
        if trial % 3 == 0:
            del damaged[random.integers(0, len(good)) :]
        path.write_bytes(damaged)
        try:
            unpack(path, path.parent / "unpacked", **BOUNDS)
        except DownloadError:
            assert list(path.parent.iterdir()) == [path]
        else:
            assert set(files_in(path.parent / "unpacked").values()) <= set(contents.values())
            n_unpacked += 1
    assert 0 < n_unpacked < 300


def test_a_missing_archive_and_a_destination_that_cannot_be_made_are_refused(tmp_path):
    path = write_zip(tmp_path / "corpus.zip", ("a.wav", b"x"))
    for archive_path, destination, message in (
        (tmp_path / "absent.zip", tmp_path / "unpacked", r"absent\.zip"),
        (path, path / "below a file" / "unpacked", "could not be unpacked into"),
        (path, tmp_path, "exists already"),
    ):
        with pytest.raises(DownloadError, match=message):
            unpack(archive_path, destination, **BOUNDS)
    assert list(tmp_path.iterdir()) == [path]
