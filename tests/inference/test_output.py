"""The results file: nothing lost and nothing doubled, wherever a run was stopped and whatever became of the file."""

import json
import multiprocessing
import os
import resource

import numpy as np
import pandas as pd
import pytest

from ser.errors import SerError, SettingsError
from ser.inference import output as output_file
from ser.inference.formats import timeline
from ser.inference.output import check_output, journal_of, open_output
from ser.inference.result_lines import key_of
from ser.inference.results import Failure
from tests.inference.predictions import CLASSES, silent, spoken, utterance

MODEL, OTHER = "sha256:0123456789abcdef", "sha256:fedcba9876543210"
SUFFIXES = (".csv", ".jsonl", ".parquet")
SPOKEN = spoken(
    "=1+1, 'ü'.wav", segments=(utterance(0, 2.1, 0.83), utterance(2.6, 4, 0.25)), warnings=("Loud, or so.",)
)
RESULTS = (SPOKEN, silent("b\n.wav"), Failure(source="c.wav", reason="c.wav is empty."), spoken("folder/d.wav"))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working directory, since the names are relative; and a disk that need not be waited for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def opened(path, *, resume=False, model=MODEL, class_names=CLASSES):
    return open_output(path, model=model, class_names=class_names, resume=resume)


def predict(path, results=RESULTS, *, resume=False, **others):
    """Add those results whose recordings are not there yet, as `predict_many` does; return how many."""
    with opened(path, resume=resume, **others) as output:
        new = [result for result in results if output.claim(result.source)]
        for result in new:
            output.add([result])
    return len(new)


def table_of(path):
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    return readers[path.suffix](path) if path.suffix in readers else pd.read_json(path, lines=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pandas_reads_every_format_and_a_resumed_run_tries_again_what_failed(tmp_path, suffix):
    path = tmp_path / "new folder" / f"results{suffix}"
    assert predict(path) == 4
    table = table_of(path)
    assert list(table["status"]) == ["speech", "no speech found", *([table["status"][2]]), "speech"]
    assert table["emotion"].isna().tolist() == [False, True, True, False]
    assert table["error"].tolist()[2] == "c.wav is empty."
    assert table["path"].tolist() == [key_of(result.source) for result in RESULTS]
    assert set(table["model"]) == {MODEL}
    assert table["speech"][0] == 2.5
    if suffix == ".csv":
        assert path.read_bytes().startswith(b"\xef\xbb\xbffile,")
        assert table["timeline"][0] == timeline(SPOKEN)
        assert table["file"][0] == "'=1+1, 'ü'.wav"
    else:
        assert [one["confidence"] for one in table["utterances"][0]] == pytest.approx([0.83, 0.75])
        assert table["file"][0] == "=1+1, 'ü'.wav"
        assert list(table["warnings"][0]) == ["Loud, or so."]
    assert predict(path, resume=True) == 1
    table = table_of(path)
    assert [str(name)[-5:] for name in table["path"]] == ["'.wav", "a.wav", "d.wav", "c.wav"]
    assert predict(path, [spoken("c.wav")], resume=True) == 1
    done = predict(path, resume=True)
    assert done == 0
    assert sorted(table_of(path)["path"]) == sorted(key_of(result.source) for result in RESULTS)
    assert not journal_of(path).exists()


@pytest.mark.parametrize("suffix", SUFFIXES[:2])
def test_a_file_cut_anywhere_is_gone_on_with(tmp_path, suffix):
    path = tmp_path / f"results{suffix}"
    results = [result for result in RESULTS if not isinstance(result, Failure)]
    predict(path, results)
    whole = path.read_bytes()
    starts = {start for start in range(2, len(whole)) if whole[:start].endswith(b"\n")}
    at_ends = {cut for start in starts for cut in range(start - 2, start + 3)}
    for cut in sorted(at_ends | set(range(0, len(whole), 11))):
        for tail in (b"", b"\0" * 40):  # of a kill, of a power cut
            path.write_bytes(whole[:cut] + tail)
            n_whole = sum(start <= cut for start in starts) - (suffix == ".csv")
            assert predict(path, results, resume=True) == len(results) - max(n_whole, 0)
            assert path.read_bytes() == whole


@pytest.mark.parametrize("suffix", SUFFIXES[:2])
def test_a_line_broken_in_the_middle_is_predicted_again(tmp_path, suffix, caplog):
    path = tmp_path / f"results{suffix}"
    results = [result for result in RESULTS if not isinstance(result, Failure)]
    predict(path, results)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    rng = np.random.default_rng(0)
    for number in range(len(lines)):
        for _ in range(6):
            start, end = sorted(rng.choice(len(lines[number]) - 1, 2, replace=False))
            hole = b"\0" * (end - start) + lines[number][end:]
            for rest in (b"", b"\n", hole, b"\xff" + lines[number][end:]):  # b"": the next line stands in this one
                broken = lines[number][:start] + rest
                path.write_bytes(b"".join([*lines[:number], broken, *lines[number + 1 :]]))
                predict(path, results, resume=True)
                assert sorted(table_of(path)["path"]) == sorted(key_of(result.source) for result in results)
    assert "damaged lines; their recordings are predicted again" in caplog.text


@pytest.mark.parametrize("suffix", SUFFIXES[:2])
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\n\n", b"\0\n\0\0\n"])
def test_a_file_that_holds_nothing_is_begun(tmp_path, suffix, content):
    path = tmp_path / f"results{suffix}"
    path.write_bytes(content)
    assert predict(path, resume=True) == 4
    assert len(table_of(path)) == 4


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "content", [b"words\n", b"words", b'{"file": "a.wav"}\n', b"[1]\n", b"a,b\n1,2\n", b"\xff\xfe\n", b"file,emotion\n"]
)
def test_another_file_is_not_taken_for_results(tmp_path, suffix, content):
    path = tmp_path / f"notes{suffix}"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"notes\.\w+ is no results file \(.*\); name another\.$"):
        predict(path, resume=True)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_another_model_is_refused_and_kept(tmp_path, suffix):
    path = tmp_path / f"results{suffix}"
    predict(path)
    before = path.read_bytes()
    with pytest.raises(SettingsError, match=f"another model \\({MODEL}, not {OTHER}\\); name another file"):
        predict(path, resume=True, model=OTHER)
    if suffix == ".csv":
        with pytest.raises(SettingsError, match="another model, with the classes sad, calm; name another file"):
            predict(path, resume=True, model=OTHER, class_names=("calm", "sad"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_a_results_file_is_refused(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "there.csv").touch()
    (tmp_path / "begun.parquet.jsonl").touch()
    for name, resume, reason in [
        ("x.xlsx", True, r"should end in \.csv, \.jsonl or \.parquet"),
        ("x", False, r"should end in \.csv, \.jsonl or \.parquet"),
        ("folder.csv", True, "is a folder; name a file in it, such as"),
        ("pipe.csv", True, "is a device or a pipe"),
        ("there.csv", False, "exists; go on with it by `--resume`"),
        ("begun.parquet", False, "exists; go on with it by `--resume`"),
    ]:
        with pytest.raises(SettingsError, match=reason):
            check_output(tmp_path / name, resume=resume)
    check_output(tmp_path / "NEW.CSV", resume=False)


def test_a_stream_is_not_taken_for_one_that_was_read_before(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("-", "pipe", "/dev/stdin"):
        path = tmp_path / f"{name.strip('/').replace('/', '')}.csv"
        predict(path, [spoken(name)])
        with pytest.raises(SettingsError, match=rf"^{name} is a stream: whether .*\.csv holds this one"):
            predict(path, [spoken(name)], resume=True)
    predict(tmp_path / "gone.csv", [spoken("gone.wav")])
    assert predict(tmp_path / "gone.csv", [spoken("gone.wav")], resume=True) == 0


def test_a_large_file_of_another_kind_is_not_read_to_its_end(tmp_path, monkeypatch):
    path, read = tmp_path / "notes.csv", []
    path.write_text("words\n" * 5000)
    numbered = output_file._numbered
    monkeypatch.setattr(output_file, "_numbered", lambda path: (read.append(1) or line for line in numbered(path)))
    with pytest.raises(SettingsError, match="see its line 1"):
        predict(path, resume=True)
    assert len(read) < 2000


def test_a_killed_parquet_goes_on_from_its_journal(tmp_path):
    path = tmp_path / "results.parquet"
    predict(path, RESULTS[:2])
    with opened(path, resume=True) as output:  # as the first call after SIGKILL finds them: journal and Parquet file
        output.add(RESULTS[3:])
        left = journal_of(path).read_bytes()
    journal_of(path).write_bytes(left + b'{"file": "c.w')
    assert predict(path, resume=True) == 1
    assert sorted(table_of(path)["path"]) == sorted(key_of(result.source) for result in RESULTS)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_run_leaves_a_file_that_can_be_read(tmp_path, suffix):
    path = tmp_path / f"results{suffix}"
    with pytest.raises(KeyboardInterrupt), opened(path) as output:  # noqa: PT012 - as a run is
        output.add(RESULTS[:2])
        raise KeyboardInterrupt
    assert len(table_of(path)) == 2


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_one_sentence_and_keeps_whole_rows(tmp_path, suffix):
    path, many = tmp_path / f"results{suffix}", [spoken(f"{number:03}.wav") for number in range(300)]
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, unlimited[1]))
    try:
        with pytest.raises(SerError, match=r"cannot be written: File too large; what it holds is kept, and `--resume`"):
            predict(path, many)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert suffix == ".parquet" or path.read_bytes().endswith(b"\n")
    assert 0 < predict(path, many, resume=True) < 300
    assert table_of(path)["path"].is_unique
    assert len(table_of(path)) == 300


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SerError, match=r"file/results\.csv cannot be written: (Not a directory|File exists)\.$"):
        predict(tmp_path / "file" / "results.csv")


def _hold(path, is_held, may_end):
    with opened(path):
        is_held.set()
        may_end.wait()


def test_a_file_that_another_process_writes_is_refused(tmp_path):
    context = multiprocessing.get_context("fork")
    is_held, may_end = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "results.csv", is_held, may_end))
    process.start()
    is_held.wait()
    try:
        with pytest.raises(SettingsError, match=r"Another process writes to .*results\.csv"):
            predict(tmp_path / "results.csv", resume=True)
    finally:
        may_end.set()
        process.join()


def test_one_recording_has_one_key_by_any_way_to_it_and_two_have_two(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "a" / "x.wav").touch()
    (tmp_path / "a" / "y.wav").symlink_to("x.wav")
    ways = ("a/x.wav", "./a/x.wav", "link/x.wav", "a/../a/x.wav", tmp_path / "a" / "x.wav")
    assert {key_of(way) for way in ways} == {str(tmp_path / "a" / "x.wav")}
    names = ("y.wav", "y\n.wav", r"y\x0a.wav", r"y\\x0a.wav", "y\\\n.wav", "y\udc0a.wav", r"y\udc0a.wav", "y\\.wav")
    assert len({key_of(f"a/{name}") for name in names}) == len(names)
    assert key_of("a\0b")  # as no file is called


def test_a_header_that_is_gone_comes_back(tmp_path):
    path = tmp_path / "results.csv"
    predict(path, RESULTS[:2])
    header, *rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(rows))
    assert predict(path, RESULTS[:2], resume=True) == 0
    assert path.read_bytes() == header + b"".join(rows)


def test_rows_that_another_program_saved_anew_are_still_known(tmp_path):
    path = tmp_path / "results.csv"
    predict(path, RESULTS[:2])
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf").replace(b"\n", b"\r\n")
    path.write_bytes(content)
    assert predict(path, RESULTS[:2], resume=True) == 0
    assert json.loads(json.dumps(table_of(path)["path"].tolist())) == [key_of(result.source) for result in RESULTS[:2]]
