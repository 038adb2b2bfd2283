import os
import socket
from pathlib import Path

import pytest

from ser.audio.folder import STDIN, expand_folders, find_sound_files, search_folder
from ser.errors import AudioError


@pytest.fixture
def folder(tmp_path):
    """Two sound files, one of them in a subfolder, and a little of all that is left out."""
    folder = tmp_path / "voices"
    (folder / "more").mkdir(parents=True)
    for name in (
        "1.wav",
        "more/2.FLAC",
        "notes.txt",
        "more/notes.TXT",
        "LICENSE",
        "a.pdf",
        ".DS_Store",
        "more/._2.FLAC",
    ):
        (folder / name).touch()
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "3.wav").touch()
    (folder / "folder.wav").mkdir()
    return folder


def names(folder, paths):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_sound_files_are_sorted_and_what_is_left_out_is_counted_by_suffix(folder):
    (folder / "0.mp3").touch()
    (folder / "5.wav.part").touch()
    content = search_folder(folder)
    assert names(folder, content.files) == ["0.mp3", "1.wav", "more/2.FLAC"]
    assert content.files == find_sound_files(folder)
    assert content.suffixes == {".txt": 2, "": 1, ".pdf": 1, ".part": 1}
    assert content.unread == {}
    (remark,) = content.remarks(folder)
    assert remark.startswith(f"{folder}: left out: 2 .txt, ")
    assert "1 without suffix" in remark


def test_links_to_files_are_followed_and_circles_are_not(folder):
    (folder / "link.wav").symlink_to(folder / "1.wav")
    (folder / "circle").symlink_to(folder)
    (folder / "more" / "up").symlink_to("../..")
    (folder / "itself.wav").symlink_to("itself.wav")
    (folder / "gone.wav").symlink_to("gone")
    content = search_folder(folder)
    assert names(folder, content.files) == ["1.wav", "link.wav", "more/2.FLAC"]
    expected = {"circle": "a link to a folder", "more/up": "a link to a folder"}
    expected |= {"itself.wav": "a link to nothing", "gone.wav": "a link to nothing"}
    assert {path.relative_to(folder).as_posix(): kind.partition(" (")[0] for path, kind in content.unread.items()} == (
        expected
    )
    assert content.remarks(folder)[1:] == [
        f"{folder}/circle and 1 more: left out, each a link to a folder (give that folder itself).",
        f"{folder}/gone.wav and 1 more: left out, each a link to nothing.",
    ]


def test_what_is_no_file_is_left_out_and_not_opened(folder):
    os.mkfifo(folder / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s.wav"))
        content = search_folder(folder)
    assert content.remarks(folder)[1:] == [
        f"{folder}/pipe.wav: left out, a pipe.",
        f"{folder}/s.wav: left out, a socket.",
    ]


def test_a_folder_that_cannot_be_opened_is_named(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if Path(path).name in locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("ser.audio.folder.os.scandir", refuse)
    locked = {"more"}
    content = search_folder(folder)
    assert names(folder, content.files) == ["1.wav"]
    assert content.remarks(folder)[-1] == (
        f"{folder}/more: left out, a folder that cannot be opened (Permission denied)."
    )
    locked = {"voices"}
    with pytest.raises(AudioError, match=rf"^{folder} cannot be opened \(Permission denied\)\.$"):
        search_folder(folder)


def test_names_of_any_bytes_can_be_shown(tmp_path):
    odd = os.fsencode(tmp_path) + b"/caf\xe9\n\x1b[31m"
    Path(os.fsdecode(odd)).mkdir()
    for name in (b"/b\xff.wav", b"/notes.t\xfft"):
        Path(os.fsdecode(odd + name)).touch()
    Path(os.fsdecode(odd + b"/gone\xe9.wav")).symlink_to("gone")
    expanded = expand_folders([tmp_path])
    assert [os.fsencode(path) for path in expanded.files] == [odd + b"/b\xff.wav"]
    remarks = " ".join(expanded.remarks)
    assert remarks.isprintable()
    assert remarks.isascii()
    assert r"caf\xe9\x0a\x1b[31m/gone\xe9.wav: left out" in remarks
    assert r"1 .t\xfft" in remarks


def test_folders_are_expanded_once_each_in_order(tmp_path):
    (tmp_path / "more").mkdir()
    *voices, late, notes = (tmp_path / name for name in ("0.wav", "1.wav", "2.wav", "more/late.flac", "notes.txt"))
    for path in (*voices, late, notes):
        path.touch()
    expanded = expand_folders([tmp_path])
    assert expanded.files == [*voices, late]
    assert expanded.remarks == [f"{tmp_path}: left out: 1 .txt."]
    again = expand_folders([late, tmp_path, voices[0], tmp_path])
    assert again.files == [late, *voices]
    assert again.remarks == expanded.remarks
    assert expand_folders([notes]).files == [notes]  # given by name, it is tried


def test_streams_are_passed_on_unopened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    given = [STDIN, Path("/dev/stdin"), Path("/dev/null"), tmp_path / "pipe"]
    assert expand_folders(given).files == given


def test_nothing_to_expand_is_refused_by_name(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "broken.wav").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
    for path, message in (
        (
            tmp_path,
            rf"^{tmp_path} holds no sound file \(.wav, .*: 1 \.txt\..* a link to nothing\. .* a socket\.$",
        ),
        (tmp_path / "missing.wav", r"missing\.wav: there is no such file or folder\.$"),
        (tmp_path / "broken.wav", r"broken\.wav is a link to nowhere, which is not there\.$"),
        (tmp_path / "s", r"s is a socket; give a sound file, a folder or a pipe\.$"),
        (tmp_path / ("x" * 300), r"x: File name too long\.$"),
        (tmp_path / "a\0b", r"a\\x00b: embedded null byte\.$"),
        (tmp_path / "notes.txt" / "a.wav", r"a\.wav: Not a directory\.$"),
    ):
        with pytest.raises(AudioError, match=message):
            expand_folders([path])
