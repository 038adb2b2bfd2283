import json
from dataclasses import replace

import pytest

from ser.errors import CheckpointError
from ser.features.validation import as_plain
from ser.inference.metadata_file import MAX_BYTES, metadata_path, read_metadata_of, write_metadata


def test_metadata_are_read_as_written(tmp_path, tiny_metadata):
    path = tmp_path / "small.safetensors"
    write_metadata(path, b"weights", tiny_metadata)
    assert read_metadata_of(path, b"weights") == tiny_metadata
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]


def test_one_json_serves_both_files_of_a_model(tmp_path, tiny_metadata):
    path, graph = tmp_path / "small.safetensors", tmp_path / "small.onnx"
    write_metadata(path, b"weights", tiny_metadata, onnx=b"graph")
    assert read_metadata_of(path, b"weights") == read_metadata_of(graph, b"graph") == tiny_metadata
    for file, content in ((path, b"graph"), (graph, b"weights"), (path, b"other"), (graph, b"other")):
        with pytest.raises(CheckpointError, match=rf"{file.name} is not the model of small\.json"):
            read_metadata_of(file, content)


def test_weights_without_a_graph_vouch_for_none(tmp_path, tiny_metadata):
    write_metadata(tmp_path / "small.safetensors", b"weights", tiny_metadata)
    with pytest.raises(CheckpointError, match=r"small\.onnx is not the model of small\.json"):
        read_metadata_of(tmp_path / "small.onnx", b"graph")


def test_a_json_that_is_too_large_is_not_read(tmp_path, tiny_metadata, monkeypatch):
    path = tmp_path / "small.safetensors"
    write_metadata(path, b"weights", tiny_metadata)
    with metadata_path(path).open("rb+") as file:
        file.truncate(100 * MAX_BYTES)
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(CheckpointError, match=r"small\.json has 104,857,600 bytes, but should have 1,048,576 at most"):
        read_metadata_of(path, b"weights")


def test_what_is_private_to_the_machine_is_left_out(tmp_path, tiny_metadata):
    configuration = {
        "seed": 7,
        "ckpt_path": "../erika/outputs/train",
        "paths": {"data_dir": "erika"},
        "data": {"root": "erika/ravdess", "classes": ["sad", "happy"], "test_size": 0.2, "ratio": "1/2"},
        "logger": ["~/erika/logs", "/home/erika/logs", "C:\\Users\\erika\\logs", None],
    }
    metadata = replace(tiny_metadata, corpus_root="/home/erika/ravdess", configuration=configuration)
    write_metadata(tmp_path / "small.safetensors", b"weights", metadata)
    text = (tmp_path / "small.json").read_text(encoding="utf-8")
    assert "erika" not in text
    values = json.loads(text)["metadata"]
    assert values["configuration"] == {
        "seed": 7,
        "data": {"classes": ["sad", "happy"], "test_size": 0.2, "ratio": "1/2"},
        "logger": ["", "", "", None],
    }
    assert values == as_plain(metadata) | {"corpus_root": "", "configuration": values["configuration"]}
    assert metadata.configuration["data"]["root"] == "erika/ravdess"
