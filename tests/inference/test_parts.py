"""Scoring in parts: the folder has the rows of a single Parquet file, from paths, tables and addresses alike."""

import shutil

import pandas as pd
import pyarrow.dataset
import pyarrow.parquet
import pytest

from ser.cli.main import main
from ser.data.tasks import PLAN, part_name
from ser.errors import AudioError, CorpusError, SettingsError
from ser.inference.parts import Scoring
from ser.inference.predictor import Predictor
from ser.inference.sources import find_recordings, read_recordings
from tests.command_line import is_one_sentence

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def sounds(tmp_path, voice_file):
    """A folder of four recordings, of which the third cannot be read."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for name in "abd":
        shutil.copy(voice_file, folder / f"{name}.wav")
    (folder / "c.wav").write_text("words")
    return folder


@pytest.fixture
def bucket(sounds):
    filesystem = fsspec.filesystem("memory")
    filesystem.put(str(sounds), "/bucket", recursive=True)
    yield "memory://bucket"
    filesystem.rm("/bucket", recursive=True)


def score(*arguments, model):
    return main(["predict", *map(str, arguments), f"--model={model}", "--workers=1"])


def test_the_parts_are_the_rows_of_one_file_and_a_second_run_makes_what_is_missing(
    sounds, tiny_checkpoint, tmp_path, capsys
):
    folder, file = tmp_path / "results", tmp_path / "results.parquet"
    assert score(sounds, "--output", file, model=tiny_checkpoint) == 1
    capsys.readouterr()
    assert score(sounds, "--output", folder, "--part-size=3", model=tiny_checkpoint) == 1
    shown = capsys.readouterr()
    assert shown.out == f"4 rows written to {folder}\n"
    assert is_one_sentence(shown.err, "1 of the recordings could not be read; the column error says why.")
    whole = pyarrow.parquet.read_table(file)
    assert whole.num_rows == 4
    parts = pyarrow.dataset.dataset(folder).to_table()
    assert parts.schema == whole.schema
    plain = [name for name in whole.schema.names if name != "utterances"]  # rounding may differ by the batch
    pd.testing.assert_frame_equal(pd.read_parquet(folder)[plain], pd.read_parquet(file)[plain])
    assert score(sounds, "--output", folder, "--part-size=3", model=tiny_checkpoint) == 1
    assert is_one_sentence(capsys.readouterr().err, "has results already; go on with them by `--resume`")
    (folder / part_name(1)).unlink()
    assert score(sounds, "--output", folder, "--part-size=3", "--resume", model=tiny_checkpoint) == 1
    assert capsys.readouterr().out == f"1 rows written to {folder}, 3 were there already\n"
    assert pyarrow.dataset.dataset(folder).to_table().equals(parts)


def test_a_table_and_a_bucket_are_scored_like_a_folder(sounds, bucket, tiny_checkpoint, tmp_path, capsys):
    table = tmp_path / "few.csv"
    table.write_text(f"file,note\nsounds/a.wav,1\n{bucket}/b.wav,2\nsounds/missing.wav,3\n")
    assert score(table, "--output", tmp_path / "t", model=tiny_checkpoint) == 1
    rows = pyarrow.dataset.dataset(tmp_path / "t").to_table().to_pylist()
    assert [row["path"] for row in rows] == [
        str(sounds / "a.wav"), "memory://bucket/b.wav", str(sounds / "missing.wav")
    ]  # fmt: skip
    assert [row["error"] is None for row in rows] == [True, True, False]
    output = "memory://bucket-of-results/out"
    assert score(bucket, "--output", output, "--part-size=3", model=tiny_checkpoint) == 1
    assert "4 rows written to memory://bucket-of-results/out\n" in capsys.readouterr().out
    filesystem = fsspec.filesystem("memory")
    assert {name.rpartition("/")[2] for name in filesystem.ls("/bucket-of-results/out", detail=False)} == {
        PLAN, part_name(0), part_name(1)
    }  # fmt: skip
    far = pyarrow.dataset.dataset("/bucket-of-results/out", filesystem=filesystem).to_table().to_pylist()
    assert [row["path"] for row in far] == [f"memory://bucket/{name}.wav" for name in "abcd"]
    here = Predictor.load(tiny_checkpoint).predict(sounds / "a.wav")
    # In batches of other sizes the last digit may be another.
    assert [row["confidence"] for row in far if row["error"] is None] == pytest.approx([here.confidence] * 3, rel=1e-5)
    filesystem.rm("/bucket-of-results", recursive=True)


def test_a_model_that_is_another_one_for_the_worker_is_refused(tiny_checkpoint):
    with pytest.raises(SettingsError, match="is another model for this worker"):
        Scoring(model=str(tiny_checkpoint), fingerprint="sha256:0")()


def test_recordings_are_found_once_each_and_in_order(sounds, bucket):
    names = [str(sounds / "d.wav"), str(sounds), f"file://{sounds}/a.wav", bucket, f"{bucket}/a.wav"]
    found, remarks = find_recordings(names)
    here = [str(sounds / f"{name}.wav") for name in "dabc"]
    assert (found, remarks) == ([*here, *(f"memory://bucket/{name}.wav" for name in "abcd")], [])


def test_contents_are_fetched_in_order_and_what_is_not_there_is_told(sounds, bucket):
    addresses = [f"{bucket}/{'abd'[n % 3]}.wav" for n in range(40)]
    items = [*addresses, str(sounds / "a.wav"), f"{bucket}/missing.wav"]
    *fetched, path, missing = read_recordings(items)
    assert [one.name for one in fetched] == addresses
    assert {one.read() for one in fetched} == {(sounds / "a.wav").read_bytes()}
    assert path == sounds / "a.wav"
    with pytest.raises(AudioError, match=r"^memory://bucket/missing\.wav cannot be fetched \(.+\)\.$"):
        missing.read(1)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("file\n", "names columns but has no rows"),
        ("file,a\n,1\n", "row 2, column file: it is empty"),
        ("file,a\nx.wav\n", "row 2: it has 1 cells"),
        ("path\nx.wav\n", "has no column 'file'"),
    ],
)
def test_a_table_that_names_no_recording_is_refused(content, error, tmp_path):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(CorpusError, match=error):
        find_recordings([str(tmp_path / "t.csv")])


def test_an_address_that_holds_nothing_is_refused():
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/nothing/a.txt", b"")
    with pytest.raises(AudioError, match=r"^memory://nothing holds no sound file \("):
        find_recordings(["memory://nothing"])
    filesystem.rm("/nothing", recursive=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("a.wav --launcher ray", "--launcher, --address and --part-size need a folder"),
        ("a.wav --output r.csv --part-size 5", "--launcher, --address and --part-size need a folder"),
        ("a.wav --output r/ --address x:1", "--address is of a cluster of Ray"),
        ("a.wav --output r/ --same-speaker b", "--same-speaker and --speaker-column need a file"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(arguments, sentence, capsys):
    assert main(["predict", *arguments.split()]) == 2
    assert is_one_sentence(capsys.readouterr().err, sentence)


def test_an_address_needs_a_folder_for_the_results(bucket, tiny_checkpoint, capsys):
    assert score(f"{bucket}/a.wav", model=tiny_checkpoint) == 1
    assert is_one_sentence(capsys.readouterr().err, "memory://bucket/a.wav is an address, which needs a folder")
