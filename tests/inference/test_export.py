import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ser.cli.main import main
from ser.errors import CheckpointError, SettingsError
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain
from ser.inference.export import export_onnx
from ser.inference.onnx_backend import OnnxScorer, load_onnx_scorer
from ser.inference.torch_backend import load_torch_scorer
from ser.models.context import context_of
from ser.models.metadata import ModelMetadata
from ser.models.registry import build_recogniser

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'ser[export]'")
from tests.checkpoints import random_recogniser, write_checkpoint


@pytest.fixture(scope="module")
def full_checkpoint(tiny_metadata, tmp_path_factory):
    """The baseline network in full, over 216 frames, with random weights and statistics."""
    metadata = replace(tiny_metadata, network={}, features=FeatureSettings())
    recogniser = random_recogniser(metadata, seed=1)
    # Fresh weights hardly heed their input, and fresh statistics of a BatchNorm change nothing: any graph would do.
    for parameter in recogniser.parameters():
        parameter.data.mul_(3)
    for name, buffer in recogniser.network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    return write_checkpoint(recogniser, metadata, tmp_path_factory.mktemp("full") / "full.ckpt")


@pytest.mark.parametrize("kind", ["linear", "kernel"])
def test_the_utterance_level_head_is_in_the_graph(tiny_metadata, tmp_path, kind):
    """On inputs of one frame to full length; what lies in the padding has no part in the outputs."""
    metadata = replace(
        tiny_metadata,
        architecture="residual_bilstm",
        network={"channels": [16, 16], "lstm_hidden": 8, "attention_hidden": 8},
        utterance_head=kind,
        fusion_weight=0.5,
        features=FeatureSettings(n_fft=1024, hop_length=441, n_mels=32, max_length=96, groups=("logmel", "pitch")),
    )
    recogniser, draws = random_recogniser(metadata, seed=1), torch.Generator().manual_seed(1)
    recogniser.normalisation.set_statistics(torch.full((32, 1), -40.0), torch.full((32, 1), 12.0))
    head = recogniser.utterance_head
    head.mean.normal_(std=3, generator=draws)
    head.weight.normal_(std=0.05 if kind == "kernel" else 0.3, generator=draws)
    if kind == "kernel":
        head.whitening.div_(20)
        head.landmarks.normal_(generator=draws)
    else:
        head.scale.fill_(10)
    path = write_checkpoint(recogniser, metadata, tmp_path / "second.ckpt")
    scorer, _ = load_torch_scorer(path)
    model = OnnxScorer(export_onnx(path, tmp_path / "model.onnx").read_bytes())
    draw = np.random.default_rng(0)
    features = draw.normal(-40, 12, size=(4, 34, 96)).astype(np.float32)
    features[:, 32] = draw.uniform(6.5, 8.5, size=(4, 96))
    features[:, 33] = draw.uniform(size=(4, 96))
    lengths = np.array([96, 50, 1, 7])
    for answer, expected in zip(model(features, lengths), scorer(features, lengths), strict=True):
        np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)
    other, padded = features.copy(), features.copy()
    other[:, 32] += 3  # another pitch gives other probabilities, in the graph too
    assert np.abs(model(other, lengths)[0] - model(features, lengths)[0]).max() > 1e-4
    for row, length in enumerate(lengths):
        padded[row, :, length:] = 0
    np.testing.assert_allclose(model(padded, lengths)[0], model(features, lengths)[0], rtol=0, atol=1e-6)
    assert np.abs(model(features, np.full(4, 96))[0] - model(features, lengths)[0])[1:].max() > 1e-3


@pytest.mark.parametrize("fixture", ["tiny_checkpoint", "full_checkpoint"])
def test_onnx_predicts_as_pytorch_at_every_batch_size(request, tmp_path, fixture):
    checkpoint = request.getfixturevalue(fixture)
    scorer, metadata = load_torch_scorer(checkpoint)
    model = OnnxScorer(export_onnx(checkpoint, tmp_path / "model.onnx").read_bytes())
    settings = metadata.features
    draw = np.random.default_rng(0)
    features = draw.normal(scale=2, size=(8, settings.n_features, settings.max_length)).astype(np.float32)
    lengths = np.arange(1, 9)
    for batch in (1, 8):
        inputs = features[:batch], lengths[:batch]
        for answer, expected in zip(model(*inputs), scorer(*inputs), strict=True):
            assert answer.dtype == np.float32
            np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5, strict=True)
    probabilities, attention, _ = model(features, lengths)
    assert (probabilities.shape, attention.shape) == ((8, 8), (8, settings.max_length // 2))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert np.ptp(probabilities, axis=0).max() > 1e-3  # else every input would pass for every other
    # All zeros are traced: the graph must not have kept what they gave.
    assert np.abs(probabilities[0] - model(np.zeros_like(features[:1]), lengths[:1])[0]).max() > 1e-3


def test_the_model_of_a_run_lies_in_its_folder(tmp_path, tiny_checkpoint):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(tiny_checkpoint, run / "checkpoints" / "best.ckpt")
    assert export_onnx(run) == run / "model.onnx"
    assert export_onnx(run / "checkpoints" / "best.ckpt") == run / "model.onnx"
    assert {path.name for path in run.iterdir()} == {"checkpoints", "model.onnx", "model.json"}
    assert export_onnx(Path(shutil.copy(tiny_checkpoint, tmp_path))) == tmp_path / "model.onnx"  # of no run


def imprecise(features, lengths):
    return np.float32(2e-4)


def guessing_padding_from_zeros(features, lengths):
    guessed = features.any(axis=1).sum(axis=1)
    return 0.1 * (guessed != lengths)[:, np.newaxis].astype(np.float32)


@pytest.mark.parametrize(("error", "size"), [(imprecise, "2.0e-04"), (guessing_padding_from_zeros, "1.0e-01")])
def test_a_graph_of_other_outputs_is_not_written(tmp_path, tiny_checkpoint, monkeypatch, error, size):
    output = tmp_path / "model.onnx"
    output.write_bytes(b"the old one")

    class Wrong(OnnxScorer):
        def __call__(self, features, lengths, context=None):
            scored = super().__call__(features, lengths, context)
            return scored._replace(attention=scored.attention + error(features, lengths))

    monkeypatch.setattr("ser.inference.export.OnnxScorer", Wrong)
    with pytest.raises(CheckpointError, match=rf"tiny\.ckpt cannot be exported: .* differs from PyTorch's by {size}"):
        export_onnx(tiny_checkpoint, output)
    assert output.read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_missing_package_is_named(tmp_path, tiny_checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SettingsError, match=r'format=onnx needs onnx, .*pip install "ser\[export\]"\.$'):
        export_onnx(tiny_checkpoint, tmp_path / "model.onnx")


def test_the_command_prints_the_path_of_the_model(tmp_path, tiny_checkpoint, tiny_metadata, capsys):
    output = tmp_path / "new" / "small.onnx"
    assert main(["export", "--format", "onnx", str(tiny_checkpoint), f"--output={output}"]) == 0
    assert capsys.readouterr() == (f"{output}\n", "")
    content = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert content["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert content["metadata"] == as_plain(tiny_metadata)
    assert str(tmp_path.parent).encode() not in output.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--format=tflite"], "export.format is 'tflite'; known are onnx."),
        (["run", "--output", "model.bin"], "export.output is model.bin, but should end in .onnx."),
        (["missing.ckpt"], "missing.ckpt: there is no such checkpoint"),
    ],
)
def test_what_the_command_cannot_do_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_context_is_an_input_of_the_graph_and_summaries_an_output(tmp_path):
    features = FeatureSettings(sample_rate=16000, hop_length=320, n_mels=16, max_length=80, groups=("logmel", "pitch"))
    network = {"channels": [4, 6], "lstm_hidden": 5, "functionals_hidden": 7}
    metadata = ModelMetadata(
        architecture="context_bilstm", network=network, class_names=("sad", "happy"), features=features, protocol="p"
    )
    torch.manual_seed(0)
    recogniser = build_recogniser(metadata).eval()
    metadata = replace(metadata, context=recogniser.n_summary)
    path = write_checkpoint(recogniser, metadata, tmp_path / "context.ckpt")
    scorer, _ = load_torch_scorer(path)
    model, read = load_onnx_scorer(export_onnx(path, tmp_path / "model.onnx"))
    assert read.context == recogniser.n_summary == 157 + 20 + 2
    draw = np.random.default_rng(0)
    inputs = draw.normal(-40, 12, size=(5, 18, 80)).astype(np.float32)
    inputs[:, 16], inputs[:, 17] = draw.uniform(6.5, 8.5, size=(5, 80)), draw.uniform(size=(5, 80))
    lengths = np.array([80, 50, 9, 30, 80])
    alone = scorer(inputs, lengths)
    members = torch.tensor(draw.random((5, 5)) < 0.5)
    context = context_of(torch.from_numpy(alone.summary), members).numpy()
    for given in (None, context):
        for answer, expected in zip(model(inputs, lengths, given), scorer(inputs, lengths, given), strict=True):
            np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(model(inputs, lengths, context).probabilities - alone.probabilities).max() > 1e-4
    np.testing.assert_allclose(model(inputs, lengths, context).summary, alone.summary, rtol=1e-4, atol=1e-4)

    with pytest.raises(CheckpointError, match="has context 3, but its network needs 179"):
        load_torch_scorer(write_checkpoint(recogniser, replace(metadata, context=3), tmp_path / "other.ckpt"))
