"""The JSON beside the weights, as both kinds of model read it."""

import hashlib
import json
from dataclasses import replace

import pytest

from ser.errors import CheckpointError
from ser.features.validation import as_plain
from ser.inference.metadata_file import MAX_BYTES, metadata_path, read_metadata_of, write_metadata
from ser.inference.predictor import Predictor
from tests.checkpoints import forge


@pytest.fixture(params=[".safetensors", ".onnx"])
def model(request, tmp_path, tiny_metadata):
    """A file that holds no weights, with its metadata, to spoil: they are read before it."""
    path = tmp_path / f"small{request.param}"
    path.write_bytes(b"weights")
    write_metadata(path, b"weights", tiny_metadata)
    return path


def test_metadata_are_read_as_written(model, tiny_metadata):
    assert read_metadata_of(model, b"weights") == tiny_metadata
    assert {path.name for path in model.parent.iterdir()} == {model.name, "small.json"}
    content = json.loads(metadata_path(model).read_text(encoding="utf-8"))
    assert content == {"sha256": hashlib.sha256(b"weights").hexdigest(), "metadata": as_plain(tiny_metadata)}


def test_one_json_serves_both_files_of_a_model(tmp_path, tiny_metadata):
    path, graph = tmp_path / "small.safetensors", tmp_path / "small.onnx"
    write_metadata(path, b"weights", tiny_metadata, onnx=b"graph")
    assert read_metadata_of(path, b"weights") == read_metadata_of(graph, b"graph") == tiny_metadata
    for file, content in ((path, b"graph"), (graph, b"weights"), (path, b"other"), (graph, b"other")):
        with pytest.raises(CheckpointError, match=rf"{file.name} is not the model of small\.json"):
            read_metadata_of(file, content)
    write_metadata(path, b"weights", tiny_metadata)
    with pytest.raises(CheckpointError, match=r"small\.onnx is not the model of small\.json"):
        read_metadata_of(graph, b"graph")


FOREIGN = r"small\.json is not the metadata of a model of this project"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *((content, r"small\.json is damaged: it is not JSON") for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000)),
        *((content, FOREIGN) for content in (b"[]", b"{}", b'{"metadata": "x"}', b"null")),
        (None, r"small\.\w+ lacks its metadata: small\.json"),
    ],
)
def test_damaged_foreign_and_missing_metadata_are_refused(model, content, message):
    metadata_path(model).unlink()
    if content is not None:
        metadata_path(model).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        Predictor.load(model)


def test_one_wrong_byte_and_a_bad_setting_are_named(model):
    model.write_bytes(b"weightz")
    with pytest.raises(CheckpointError, match=rf"{model.name} is not the model of small\.json"):
        Predictor.load(model)
    forge(model, b"weights", protocol=3)
    with pytest.raises(CheckpointError, match=r"small\.json cannot be used: checkpoint\.protocol is 3"):
        Predictor.load(model)


def test_a_json_that_is_too_large_is_not_read(model, monkeypatch):
    with metadata_path(model).open("rb+") as file:
        file.truncate(100 * MAX_BYTES)
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(
        CheckpointError, match=r"small\.json has 1,677,721,600 bytes, but should have 16,777,216 at most"
    ):
        read_metadata_of(model, b"weights")


def test_what_is_private_to_the_machine_is_left_out(tmp_path, tiny_metadata):
    configuration = {
        "seed": 7,
        "ckpt_path": "../erika/outputs/train",
        "paths": {"data_dir": "erika"},
        "data": {
            "root": "erika/ravdess",
            "manifest": "erika/labels.csv",
            "classes": ["sad", "happy"],
            "test_size": 0.2,
            "ratio": "1/2",
        },
        "logger": ["~/erika/logs", "/home/erika/logs", "C:\\Users\\erika\\logs", None],
    }
    metadata = replace(tiny_metadata, corpus_root="/home/erika/ravdess", configuration=configuration)
    write_metadata(tmp_path / "small.safetensors", b"weights", metadata)
    text = (tmp_path / "small.json").read_text(encoding="utf-8")
    assert "erika" not in text
    public = {
        "seed": 7,
        "data": {"classes": ["sad", "happy"], "test_size": 0.2, "ratio": "1/2"},
        "logger": ["", "", "", None],
    }
    assert json.loads(text)["metadata"] == as_plain(metadata) | {"corpus_root": "", "configuration": public}
    assert metadata.configuration["data"]["root"] == "erika/ravdess"
