import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from ser.errors import CheckpointError
from ser.inference import pretrained
from ser.inference.checkpoint import load_recogniser
from ser.inference.pretrained import DEFAULT_MODEL, find_model, find_pretrained, load_pretrained, write_pretrained
from tests.checkpoints import forge

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
    monkeypatch.setattr(pretrained, "MODELS", folder)
    return folder


def test_a_round_trip_gives_the_same_recogniser(model, recogniser, tiny_metadata):
    loaded, metadata = load_pretrained(model)
    assert metadata == tiny_metadata
    assert not loaded.training
    torch.testing.assert_close(loaded.state_dict(), recogniser.state_dict(), rtol=0, atol=0)
    write_pretrained(model, recogniser, tiny_metadata, onnx=b"graph")
    assert model.with_suffix(".onnx").read_bytes() == b"graph"
    write_pretrained(model, recogniser, tiny_metadata)  # the graph of a model before does not stay
    assert {path.name for path in model.parent.iterdir()} == {"small.safetensors", "small.json"}


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


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        (WEIGHT, None, rf"lacks the tensor {WEIGHT}"),
        ("more", torch.zeros(1), "holds a tensor 'more' that the network of its metadata does not have"),
        (WEIGHT, torch.zeros(8, 16).half(), rf"{WEIGHT} as float16 .*, but it should be float32 \[8, 16\]"),
        (WEIGHT, torch.zeros(8, 16).double(), rf"{WEIGHT} as float64"),
        (WEIGHT, torch.zeros(16, 8), rf"{WEIGHT} as float32 \[16, 8\]"),
        (WEIGHT, torch.zeros(128), rf"{WEIGHT} as float32 \[128\]"),
        (WEIGHT, torch.full((8, 16), torch.nan), f"holds weights in {WEIGHT} that are not finite"),
        ("normalisation.scale", torch.full((187, 64), torch.inf), r"normalisation\.scale that are not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(model, name, other, message):
    weights = load(model.read_bytes()) | {name: other}
    forge(model, save({key: value for key, value in weights.items() if value is not None}))
    with pytest.raises(CheckpointError, match=rf"small\.safetensors .*{message}"):
        load_pretrained(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "os.system"}, r"small\.json cannot be used: architecture is 'os\.system'"),
        ({"network": {"conv_channels": [4, 4], "lstm_hidden": 10**30}}, r"small\.json cannot be used"),
        ({"network": {"conv_channels": [4, 4], "lstm_hidden": 10**12}}, r"small\.json cannot be used"),
        # 600 GB of weights, were they made before they are compared.
        ({"network": {"conv_channels": [4, 4], "lstm_hidden": 200_000}}, r"should be float32 \[8, 800000\]"),
    ],
)
def test_metadata_of_another_network_are_refused(model, change, message):
    forge(model, model.read_bytes(), **change)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_pretrained(model)
    assert len(str(refused.value).removeprefix(str(model.parent))) < 400


def test_missing_weights_are_refused_and_too_large_ones_not_read(model, monkeypatch):
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: there is no such model"):
        load_pretrained(model.with_name("gone.safetensors"))
    with model.open("rb+") as file:
        file.truncate(pretrained.MAX_BYTES + 1)
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(CheckpointError, match=r"small\.safetensors has 67,108,865 bytes, but should have 67,108,864"):
        load_pretrained(model)


def test_what_could_not_be_read_is_not_written(recogniser, tiny_metadata, tmp_path, monkeypatch):
    path = tmp_path / "new" / "small.safetensors"
    with pytest.raises(CheckpointError, match=r"small\.safetensors holds network.classify.bias as float32 \[8\]"):
        write_pretrained(path, recogniser, replace(tiny_metadata, class_names=("sad", "happy")))
    monkeypatch.setattr(pretrained, "MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match=r"small\.safetensors would have [0-9,]+ bytes, but should have 1,000"):
        write_pretrained(path, recogniser, tiny_metadata)
    assert not path.parent.exists()


def test_the_file_that_needs_no_torch_is_found_before_the_other(box):
    assert pretrained.pretrained_names() == [DEFAULT_MODEL, "ant", "bee", "zebra"]  # those of weights with metadata
    assert find_pretrained("zebra") == box / "zebra.onnx"
    assert find_pretrained("bee") == box / "bee.onnx"
    assert find_pretrained("ant") == box / "ant.safetensors"
    assert pretrained.default_model() == find_pretrained(DEFAULT_MODEL)


def test_what_is_no_name_is_refused_with_those_that_are(box, model):
    names = "../small", "..", "...", "", "small", "models/ant", "models/../ant", "ant/x", "ant.json", "alone", "bare"
    for name in (*names, str(box / "ant")):
        complaint = (
            rf"no pretrained model of that name; (known are {DEFAULT_MODEL}, ant, bee, zebra|did you mean '\w+')"
        )
        with pytest.raises(CheckpointError, match=f"^{re.escape(name)}: .* {complaint}\\.$"):
            find_pretrained(name)


def test_the_nearest_name_is_named(box, monkeypatch):
    with pytest.raises(
        CheckpointError, match=r"^ser-voice: .*no pretrained model of that name; did you mean 'ser-voices'\.$"
    ):
        find_model("ser-voice")


def test_without_models_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "MODELS", tmp_path / "nothing")
    assert pretrained.pretrained_names() == []
    assert pretrained.default_model() is None
    with pytest.raises(CheckpointError, match=r"ser-voices: there is no such file.*; none is here"):
        find_pretrained(DEFAULT_MODEL)


def test_a_path_goes_before_a_name(box, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(find_model("ant")) == str(box / "ant.safetensors")
    (tmp_path / "ant").mkdir()
    assert str(find_model("ant")) == "ant"
    assert str(find_model("missing.ckpt")) == "missing.ckpt"  # whoever opens it says so
    with pytest.raises(CheckpointError, match="known are"):
        find_model("../nothing")
    with pytest.raises(CheckpointError, match=r"^x{200}: there is no such file or folder.{,200}$"):
        find_model("x" * 10_000)  # no file can have that name
