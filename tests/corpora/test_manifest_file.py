"""The manifest: what is read from it, and each thing that can be wrong with one."""

import os
import re

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser.corpora.manifest_file import read_manifest, scan_manifest
from ser.errors import CorpusError

HEAD = "file,emotion"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with four recordings, a.wav to d.wav, and a few things that are none. Not to be written to."""
    folder = tmp_path_factory.mktemp("manifest")
    noise = np.random.default_rng(0).normal(scale=0.1, size=16000)
    for name in "abcd":
        soundfile.write(folder / f"{name}.wav", noise, 16000)
    (folder / "more").mkdir()
    soundfile.write(folder / "more" / "é.wav", noise, 16000)
    (folder / "empty.wav").touch()
    (folder / "e.doc").write_bytes(b"sound of a kind that is not read")
    (folder / "link.wav").symlink_to(folder / "gone.wav")
    (folder / "same.wav").symlink_to(folder / "a.wav")
    os.mkfifo(folder / "pipe.wav")
    return folder


@pytest.fixture
def written(folder, tmp_path):
    """Write a manifest as text or bytes; it is read as if it lay in `folder`."""

    def write(content, name="labels.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


FULL = (
    "File,emotion,speaker,gender,language,text,channel,corpus,split,start,end,notes\n"
    'a.wav,angry,anna,F,de,"Nein, danke",speech,mine,train,,,x\n'
    "more/é.wav,sad,,male,,,,,dev,0.5,0.9,\n"
    "\n"
    "more/é.wav,sad,ben,,,,song,,test,,0.4,\n"
)


def test_every_column_is_read_and_what_is_not_known_is_none(written, folder):
    first, second, third = read_manifest(written(FULL), folder=folder)
    assert (first.path, first.id) == (folder / "a.wav", "a.wav")
    assert (first.emotion, first.speaker, first.gender, first.language) == ("angry", "anna", "female", "de")
    assert (first.text, first.channel, first.corpus, first.split) == ("Nein, danke", "speech", "mine", "train")
    assert not first.is_cut
    assert (second.speaker, second.gender, second.text, second.channel) == (None, "male", None, "speech")
    assert (second.start, second.end, second.id) == (0.5, 0.9, "more/é.wav[0.5-0.9]")
    assert (third.start, third.end, third.id, third.channel) == (None, 0.4, "more/é.wav[-0.4]", "song")
    assert [one.split for one in (first, second, third)] == ["train", "validation", "test"]


def test_separators_encodings_parquet_and_frames_hold_the_same(written, folder):
    expected = read_manifest(written(FULL), folder=folder)
    frame = pd.read_csv(written(FULL))
    frame["start"] = frame["start"].astype(float)
    semicolons = FULL.replace(",", ";").replace("Nein;", "Nein,")
    contents = [
        FULL.encode("utf-8-sig"),
        FULL.encode("utf-16"),
        semicolons,
        FULL.replace(",", "\t").replace("Nein\t", "Nein,"),
    ]
    contents.append(FULL.replace("\n", "\r\n"))
    for number, content in enumerate(contents):
        assert read_manifest(written(content, f"{number}.csv"), folder=folder) == expected
    frame.to_parquet(written("", "labels.parquet"))
    assert read_manifest(written("", "x").with_name("labels.parquet"), folder=folder) == expected
    assert read_manifest(frame, folder=folder) == expected


def test_numbers_of_a_frame_become_names_without_a_point(folder):
    frame = pd.DataFrame({"file": ["a.wav", "b.wav"], "emotion": ["sad", "happy"], "speaker": [3.0, np.nan]})
    assert [one.speaker for one in read_manifest(frame, folder=folder)] == ["3", None]


def test_labels_are_mapped_and_left_out(written, folder):
    text = f"{HEAD}\na.wav,anger\nb.wav,Anger\nc.wav,bored\nd.wav,sad\n"
    labels = {"anger": "angry", "Anger": "angry", "bored": None}
    content = scan_manifest(written(text), folder=folder, label_map=labels)
    assert [one.emotion for one in content.recordings] == ["angry", "angry", "sad"]
    assert content.left_out == 1
    with pytest.raises(CorpusError, match=r"data.label_map has 'angr', which .* has not; did you mean 'anger'"):
        read_manifest(written(text), folder=folder, label_map={**labels, "angr": "angry"})


def test_backslashes_absolute_paths_and_paths_that_leave_the_folder_are_taken(written, folder):
    text = f"{HEAD}\nmore\\é.wav,sad\n{folder}/a.wav,sad\nmore/../b.wav,happy\n../{folder.name}/c.wav,happy\n"
    content = scan_manifest(written(text), folder=folder)
    assert content.problems == []
    assert [one.id for one in content.recordings] == ["more/é.wav", "a.wav", "b.wav", "c.wav"]
    assert content.outside == 0
    assert scan_manifest(written(text), folder=folder / "more").n_problems == 3
    outside = scan_manifest(written(f"{HEAD}\n../a.wav,sad\n"), folder=folder / "more")
    assert (outside.problems, outside.outside) == ([], 1)
    (one,) = outside.recordings
    assert re.fullmatch(r"[0-9a-f]{8}/a\.wav", one.id)  # a model's metadata name it, and go to others
    assert scan_manifest(written(f"{HEAD}\n{folder}/a.wav,sad\n"), folder=folder / "more").recordings[0].id == one.id


ROW = "a.wav,angry"
KINDS = {
    "a table that is not there": (None, r"nowhere\.csv cannot be read \(No such file or directory\); give the path"),
    "an empty table": ("", r"is empty; its first row should name the columns"),
    "a spreadsheet": (b"PK\x03\x04rest", r"is a spreadsheet; save it as CSV \(UTF-8\)"),
    "Latin-1": (
        f"{HEAD}\na.wav,angry\né.wav,sad\n".encode("latin-1"),
        r"row 3: the byte 0xe9 is not UTF-8 .* save the",
    ),
    "UTF-16 without its mark": (f"{HEAD}\n{ROW}\n".encode("utf-16-le"), r"holds bytes of zero, .* save it as CSV"),
    "half of a UTF-16 letter": (f"{HEAD}\n{ROW}\n".encode("utf-16")[:-1], r"is not the text|cannot be read"),
    "another separator": ("file|emotion\na.wav|sad\n", r"has no column 'file', .* separate by comma, semicolon or tab"),
    "no column of files": ("path,emotion\na.wav,sad\n", r"has no column 'file', but 'path, emotion'"),
    "no column of labels": ("file,emotoin\na.wav,sad\n", r"has no column 'emotion', .*; rename 'emotoin'"),
    "a column twice": ("file,emotion,emotion\na.wav,sad,sad\n", r"has the column 'emotion' twice; remove one"),
    "no rows": (f"{HEAD}\n", r"names columns but has no rows; add a row for each recording"),
    "a cell too many": (f"{HEAD}\n{ROW}\nb.wav,sad,x\n", r"row 3: it has 3 cells, but there are 2 columns; put a cell"),
    "a cell too few": (f"{HEAD}\n{ROW}\nb.wav\n", r"row 3: it has 1 cells, but there are 2 columns"),
    "an open quotation mark": (f'{HEAD}\n{ROW}\n"b.wav,sad\nc.wav,sad\n', r"row 3: .*; close every quotation mark"),
    "no path": (f"{HEAD}\n,sad\n", r"row 2, column file: '' is empty; write the path"),
    "a missing file": (f"{HEAD}\n{ROW}\ngone.wav,sad\n", r"row 3, column file: 'gone.wav' is not there; paths are rel"),
    "a folder": (f"{HEAD}\nmore,sad\n", r"column file: 'more' is a folder; write a row for each recording in it"),
    "an empty file": (f"{HEAD}\nempty.wav,sad\n", r"column file: 'empty.wav' is an empty file; copy it again"),
    "a link to nothing": (f"{HEAD}\nlink.wav,sad\n", r"column file: 'link.wav' is a link to a file that is not there"),
    "a pipe": (f"{HEAD}\npipe.wav,sad\n", r"column file: 'pipe.wav' is no ordinary file"),
    "another format": (f"{HEAD}\ne.doc,sad\n", r"column file: 'e.doc' is none of .wav, .*; convert the recording"),
    "an address": (f"{HEAD}\nhttps://a.org/b.wav,sad\n", r"is an address; download the recording and give its path"),
    "a path too long": (f"{HEAD}\n{'a' * 5000}.wav,sad\n", r"column file: 'a+\.\.\.' cannot be looked at .*; correct"),
    "no label": (
        f"{HEAD}\n{ROW}\nb.wav,NaN\n",
        r"row 3, column emotion: '' is empty; write the label, or remove the row",
    ),
    "a label without an end": (f"{HEAD}\na.wav,{'sad' * 50}\n", r"column emotion: .* is no word; write a label of at"),
    "a label of two lines": (f'{HEAD}\na.wav,"sad\nor so"\n', r"column emotion: 'sad\\nor so' is no word"),
    "one label in two spellings": (
        f"{HEAD}\na.wav,Sad\nb.wav,sad\n",
        r"row 3, .*'sad' is 'Sad' in row 2; write them al",
    ),
    "a row twice": (f"{HEAD}\n{ROW}\nb.wav,sad\n./a.wav,angry\n", r"row 4, column file: './a.wav' is in row 2 already"),
    "two labels": (
        f"{HEAD}\n{ROW}\na.wav,sad\n",
        r"row 3, column emotion: 'sad' is the second label of a.wav, which r",
    ),
    "a gender": (f"{HEAD},gender\n{ROW},mal\n", r"row 2, column gender: 'mal' is none of female, male and other"),
    "a channel": (f"{HEAD},channel\n{ROW},phone\n", r"row 2, column channel: 'phone' is no vocal channel; known are"),
    "a part": (f"{HEAD},split\n{ROW},trian\n", r"row 2, column split: 'trian' is no part; write train, validation or"),
    "no time": (f"{HEAD},start,end\n{ROW},0:12,1\n", r"row 2, column start: '0:12 to 1' are no numbers; write seconds"),
    "a time before the file": (
        f"{HEAD},start,end\n{ROW},-1,1\n",
        r"are no times in the recording; write seconds from 0",
    ),
    "an infinite time": (f"{HEAD},start,end\n{ROW},,inf\n", r"column end: ' to inf' are no times in the recording"),
    "an end before its start": (
        f"{HEAD},start,end\n{ROW},2,1\n",
        r"end before they begin; write the later time in the",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_is_said_in_one_sentence(kind, written, folder, tmp_path):
    content, sentence = KINDS[kind]
    path = tmp_path / "nowhere.csv" if content is None else written(content)
    with pytest.raises(CorpusError) as refused:
        read_manifest(path, folder=folder)
    text = str(refused.value)
    assert re.search(sentence, text), text
    assert str(path) in text
    assert "\n" not in text
    assert text.endswith(".") or "paths are relative" in text


def test_a_damaged_parquet_and_a_folder_are_refused(written, tmp_path):
    with pytest.raises(CorpusError, match=r"labels\.parquet is damaged, or no Parquet .*; write it again"):
        read_manifest(written(b"PAR1 and then nothing", "labels.parquet"))
    with pytest.raises(CorpusError, match="is a folder, but should be a table of recordings"):
        read_manifest(tmp_path)


def test_all_rows_that_are_wrong_are_counted_and_some_are_listed(written, folder):
    path = written(f"{HEAD}\n{ROW}\n" + "".join(f"gone-{n}.wav,sad\n" for n in range(30)))
    content = scan_manifest(path, folder=folder)
    assert (len(content.recordings), content.n_problems, len(content.problems)) == (1, 30, 20)
    with pytest.raises(CorpusError, match=r"row 3, .* 29 more rows are wrong; `ser corpus check .*` lists them"):
        read_manifest(path, folder=folder)


def test_one_bad_row_of_many_is_found(written, folder):
    rows = [f"{'abcd'[n % 4]}.wav,sad,{n},{n + 1}" for n in range(20_000)]
    rows[17_000] = "a.wav,sad,9,x"
    path = written(f"{HEAD},start,end\n" + "\n".join(rows) + "\n")
    content = scan_manifest(path, folder=folder)
    assert content.problems == [
        f"{path}, row 17002, column start: '9 to x' are no numbers; write seconds, such as 12.5."
    ]
    assert len(content.recordings) == 19_999
