import logging
from dataclasses import replace
from pathlib import Path

import pytest

from ser.corpora.manifest import content_digest, same_content
from ser.corpora.ravdess import corpus_root
from ser.corpora.reading import find_reader, find_recordings
from ser.errors import CorpusError

STEMS = ("03-01-01-01-01-01-01", "03-01-08-02-02-02-24", "03-02-03-01-01-02-07")


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


SUFFIXES = dict(zip(STEMS, (".flac", ".wav", ".WAV"), strict=True))
DOUBLED = "audio_speech_actors_01-24"
LAYOUTS = {
    "publisher's": ["Audio_{channel}_Actors_01-24/Actor_{actor}/{stem}.wav"],
    "doubled": ["Actor_{actor}/{stem}.wav", DOUBLED + "/Actor_{actor}/{stem}.wav"],
    "flat": ["{stem}.wav"],
    "mixed formats": ["{stem}{suffix}"],
    "both formats": ["wav/{stem}.wav", "flac/{stem}.flac"],
    "with foreign files": [
        *("{stem}.wav", "._{stem}.wav", "__MACOSX/._{stem}.wav"),
        *("my_voice.wav", "01-01-01-01-01-01-01.wav", "03-01-01-01-01-01-02.txt"),
    ],
}


def lay_out(root, layout):
    for stem in STEMS:
        channel = "Song" if stem[3:5] == "02" else "Speech"
        for path in LAYOUTS[layout]:
            touch(root / path.format(stem=stem, actor=stem[-2:], channel=channel, suffix=SUFFIXES[stem]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_each_recording_once_in_the_same_order(tmp_path, layout):
    lay_out(tmp_path, layout)
    recordings = find_recordings(tmp_path)
    assert [recording.id for recording in recordings] == list(STEMS)
    assert all(recording.path.stem == recording.id and recording.path.is_file() for recording in recordings)


def test_of_a_doubled_file_the_less_deep_one_is_taken(tmp_path):
    lay_out(tmp_path, "doubled")
    found = find_reader("ravdess").find(tmp_path)
    assert [one.path for one in found.recordings] == [tmp_path / f"Actor_{stem[-2:]}/{stem}.wav" for stem in STEMS]
    assert sorted(found.doubled) == sorted((tmp_path / DOUBLED).rglob("*.wav"))
    assert found.foreign == []


def test_foreign_names_are_counted_and_logged(tmp_path, caplog):
    lay_out(tmp_path, "with foreign files")
    foreign = find_reader("ravdess").find(tmp_path).foreign
    assert foreign == [tmp_path / "01-01-01-01-01-01-01.wav", tmp_path / "my_voice.wav"]
    with caplog.at_level(logging.WARNING, logger="ser"):
        find_recordings(tmp_path)
    assert "2 files without a name of RAVDESS" in caplog.text


def test_a_missing_folder_a_file_and_an_empty_folder_are_refused_by_name(tmp_path):
    with pytest.raises(CorpusError, match="is not a folder") as refused:
        find_recordings(tmp_path / "missing")
    assert str(tmp_path / "missing") in str(refused.value)
    with pytest.raises(CorpusError, match=r"file\.wav is empty"):  # a file is taken for a manifest
        find_recordings(touch(tmp_path / "file.wav"))
    empty = tmp_path / "empty"
    touch(empty / "my_voice.wav")
    with pytest.raises(CorpusError, match=r"holds no RAVDESS recording .* 1 sound files have other names") as refused:
        find_recordings(empty)
    assert str(empty) in str(refused.value)


def test_the_root_is_the_setting_else_the_variable_else_the_default(monkeypatch):
    default = Path("data/ravdess")
    monkeypatch.setenv("RAVDESS_ROOT", "/variable")
    assert corpus_root("/setting", default=default) == (Path("/setting"), True)
    assert corpus_root(None, default=default) == (Path("/variable"), True)
    monkeypatch.delenv("RAVDESS_ROOT")
    assert corpus_root(None, default=default) == (default, False)
    assert corpus_root("~/voices", default=default) == (Path.home() / "voices", True)


def test_equal_files_are_found_by_sha256_whatever_they_are_called(tmp_path):
    contents = {"a": b"one", "b": b"two", "c": b"one", "d": b"three", "e": b"two", "f": b"one"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    groups = same_content(tmp_path.iterdir())
    assert [[path.name for path in group] for group in groups] == [["a", "c", "f"], ["b", "e"]]
    (tmp_path / "abc").write_bytes(b"abc")  # the example of FIPS 180-2
    assert content_digest(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.ravdess
def test_the_real_corpus_is_complete_and_holds_one_recording_twice(ravdess_root, ravdess_recordings):
    # So the counts and splits that other tests take from the names are those of the real corpus.
    real = find_recordings(ravdess_root)
    assert [replace(one, path=Path()) for one in real] == [replace(one, path=Path()) for one in ravdess_recordings]
    pairs = same_content(recording.path for recording in real)
    assert [[path.stem for path in pair] for pair in pairs] == [["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]]
