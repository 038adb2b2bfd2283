import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from ser.errors import CheckpointError
from ser.inference.checkpoint import load_recogniser
from ser.inference.metadata_file import digest_of
from ser.inference.pretrained import (
    DEFAULT_MODEL,
    MAX_BYTES,
    default_model,
    find_model,
    find_pretrained,
    load_pretrained,
    pretrained_names,
    write_pretrained,
)

WEIGHT = "network.classify.weight"


@pytest.fixture(scope="module")
def recogniser(tiny_checkpoint):
    return load_recogniser(tiny_checkpoint)[0]


@pytest.fixture
def model(recogniser, tiny_metadata, tmp_path):
    """A model of one's own, to spoil."""
    path = tmp_path / "small.safetensors"
    write_pretrained(path, recogniser, tiny_metadata)
    return path


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A folder in place of the package's, with four models, one of them without an .onnx file and one without other."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in (
        "zebra.json", "zebra.safetensors", "zebra.onnx", "ant.json", "ant.safetensors", "bee.json", "bee.onnx",
        f"{DEFAULT_MODEL}.json", f"{DEFAULT_MODEL}.safetensors", "README.md", "alone.json", "bare.safetensors",
    ):  # fmt: skip
        (folder / name).touch()
    monkeypatch.setattr("ser.inference.pretrained.MODELS", folder)
    return folder


def forge(model, content, **metadata):
    """Replace the weights, and entries of the metadata, by others, so that the digest fits."""
    model.write_bytes(content)
    values = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    values |= {"sha256": digest_of(content), "metadata": values["metadata"] | metadata}
    model.with_suffix(".json").write_text(json.dumps(values), encoding="utf-8")


def test_a_round_trip_gives_the_same_recogniser(model, recogniser, tiny_metadata):
    loaded, metadata = load_pretrained(model)
    assert metadata == tiny_metadata
    assert not loaded.training
    theirs = recogniser.state_dict()
    assert list(loaded.state_dict()) == list(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in loaded.state_dict().items())
    assert {path.name for path in model.parent.iterdir()} == {"small.safetensors", "small.json"}


def test_nothing_of_the_machine_is_written(model, recogniser, tiny_metadata):
    configuration = {
        "ckpt_path": "erika/run",
        "data": {"root": "erika/ravdess"},
        "paths": {"run_dir": "erika"},
        "seed": 7,
    }
    metadata = replace(tiny_metadata, corpus_root="/home/erika", configuration=configuration)
    write_pretrained(model, recogniser, metadata)
    assert b"erika" not in model.with_suffix(".json").read_bytes()
    assert load_pretrained(model)[1] == replace(tiny_metadata, configuration={"data": {}, "seed": 7})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: b"words, and no weights",
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content + b"0",
        lambda content: (10**12).to_bytes(8, "little") + content[8:],
        lambda content: content[:8] + b"\xff" + content[9:],
        lambda content: content.replace(b'"F32"', b'"F33"', 1),
    ],
)
def test_damage_that_the_digest_vouches_for_is_refused(model, spoil):
    forge(model, spoil(model.read_bytes()))
    with pytest.raises(CheckpointError, match=r"small\.safetensors is damaged or not a \.safetensors file"):
        load_pretrained(model)


def nan(weights):
    weights[WEIGHT][3, 2] = float("nan")


def infinite(weights):
    weights["normalisation.scale"][0, 0] = float("inf")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w.pop(WEIGHT), rf"lacks the tensor {WEIGHT}"),
        (
            lambda w: w.update(more=torch.zeros(1)),
            "holds a tensor 'more' that the network of its metadata does not have",
        ),
        (
            lambda w: w.update({WEIGHT: w[WEIGHT].half()}),
            rf"{WEIGHT} as float16 .*, but it should be float32 \[8, 16\]",
        ),
        (lambda w: w.update({WEIGHT: w[WEIGHT].double()}), rf"{WEIGHT} as float64"),
        (lambda w: w.update({WEIGHT: w[WEIGHT].T.contiguous()}), rf"{WEIGHT} as float32 \[16, 8\]"),
        (lambda w: w.update({WEIGHT: w[WEIGHT].flatten()}), rf"{WEIGHT} as float32 \[128\]"),
        (nan, f"holds weights in {WEIGHT} that are not finite"),
        (infinite, r"holds weights in normalisation\.scale that are not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(model, spoil, message):
    weights = load(model.read_bytes())
    spoil(weights)
    forge(model, save(weights))
    with pytest.raises(CheckpointError, match=rf"small\.safetensors .*{message}"):
        load_pretrained(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "os.system"}, r"small\.json cannot be used: model\.name is 'os\.system'"),
        ({"network": {"lstm_hiden": 4}}, r"small\.json cannot be used: .*did you mean 'lstm_hidden'"),
        ({"network": {"conv_channels": [4, 4], "lstm_hidden": 10**30}}, r"small\.json cannot be used"),
        ({"format": 2}, r"small\.json has format 2; this release of ser reads 1"),
        ({"class_names": ["sad"]}, r"small\.json cannot be used: .*a list of at least 2"),
        # 600 GB of weights, were they made before they are compared.
        ({"network": {"conv_channels": [4, 4], "lstm_hidden": 200_000}}, r"should be float32 \[8, 800000\]"),
    ],
)
def test_metadata_of_another_network_are_refused(model, change, message):
    forge(model, model.read_bytes(), **change)
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(model)


def test_weights_that_are_too_large_are_not_read(model, monkeypatch):
    with model.open("rb+") as file:
        file.truncate(MAX_BYTES + 1)
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(CheckpointError, match=r"small\.safetensors has 67,108,865 bytes, but should have 67,108,864"):
        load_pretrained(model)


def test_one_wrong_bit_is_noticed(model):
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"small\.safetensors is not the model of small\.json"):
        load_pretrained(model)


def test_a_missing_file_is_refused(model):
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: there is no such model"):
        load_pretrained(model.with_name("gone.safetensors"))
    model.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match=r"small\.safetensors lacks its metadata: small\.json"):
        load_pretrained(model)


def test_what_could_not_be_read_is_not_written(recogniser, tiny_metadata, tmp_path, monkeypatch):
    path = tmp_path / "new" / "small.safetensors"
    with pytest.raises(CheckpointError, match=r"small\.safetensors holds network.classify.bias as float32 \[8\]"):
        write_pretrained(path, recogniser, replace(tiny_metadata, class_names=("sad", "happy")))
    monkeypatch.setattr("ser.inference.pretrained.MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match=r"small\.safetensors would have [0-9,]+ bytes, but should have 1,000"):
        write_pretrained(path, recogniser, tiny_metadata)
    assert not path.parent.exists()


def test_the_graph_of_a_model_before_does_not_stay(model, recogniser, tiny_metadata):
    write_pretrained(model, recogniser, tiny_metadata, onnx=b"graph")
    assert model.with_suffix(".onnx").read_bytes() == b"graph"
    write_pretrained(model, recogniser, tiny_metadata)
    assert not model.with_suffix(".onnx").exists()


def test_names_are_those_of_weights_with_metadata_the_default_first(box, tmp_path, monkeypatch):
    assert pretrained_names() == [DEFAULT_MODEL, "ant", "bee", "zebra"]
    monkeypatch.setattr("ser.inference.pretrained.MODELS", tmp_path / "nothing")
    assert pretrained_names() == []


def test_with_torch_its_own_file_is_found(box):
    assert find_pretrained("zebra") == box / "zebra.safetensors"
    assert find_pretrained("bee") == box / "bee.onnx"
    assert default_model() == box / f"{DEFAULT_MODEL}.safetensors"


def test_without_torch_the_graph_is_found(box, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert find_pretrained("zebra") == box / "zebra.onnx"
    assert find_pretrained("ant") == box / "ant.safetensors"  # loading it will say what is missing


def test_a_name_that_no_file_can_have_is_refused_in_a_short_sentence(box):
    with pytest.raises(CheckpointError, match=r"^x{200}: there is no such file or folder") as refused:
        find_model("x" * 10_000)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("units", [10**12, 2**62])
def test_numbers_beyond_all_measure_are_refused_in_a_short_sentence(model, units):
    forge(model, model.read_bytes(), network={"conv_channels": [4, 4], "lstm_hidden": units})
    with pytest.raises(CheckpointError, match=r"small\.json cannot be used") as refused:
        load_pretrained(model)
    assert len(str(refused.value).removeprefix(str(model.parent))) < 400


@pytest.mark.parametrize("name", ["../small", "..", "", "small", "models/ant", "ant.json", "/ant", "alone", "bare"])
def test_what_is_no_name_is_refused_with_those_that_are(box, model, name):
    name = name.replace("/ant", f"{box}/ant") if name.startswith("/") else name
    with pytest.raises(CheckpointError, match=f"no pretrained model of that name; known are {DEFAULT_MODEL}, ant"):
        find_pretrained(name)


def test_without_models_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("ser.inference.pretrained.MODELS", tmp_path)
    assert default_model() is None
    with pytest.raises(CheckpointError, match=r"ser-ravdess: there is no such file.*; none is here"):
        find_pretrained(DEFAULT_MODEL)


def test_a_path_goes_before_a_name(box, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(find_model("ant")) == str(box / "ant.safetensors")
    (tmp_path / "ant").mkdir()
    assert str(find_model("ant")) == "ant"
    assert str(find_model("missing.ckpt")) == "missing.ckpt"  # whoever opens it says so
    with pytest.raises(CheckpointError, match="known are"):
        find_model("../nothing")


def test_names_are_found_without_loading_torch():
    heavy = "{'torch', 'safetensors'}"
    code = f"import sys, ser.inference.pretrained as p; p.default_model(); print(*{heavy} & set(sys.modules))"
    assert not subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
