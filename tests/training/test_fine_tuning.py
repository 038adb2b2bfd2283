"""Weights from a trained model, frozen layers, the rate of the body: on tiny networks, without any sound."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from ser.errors import CheckpointError, SettingsError
from ser.features.settings import FeatureSettings
from ser.inference.pretrained import MODELS, write_pretrained
from ser.models.metadata import InitialModel, ModelMetadata
from ser.models.registry import build_recogniser
from ser.training.fine_tuning import (
    BODY,
    Initial,
    class_dimensions,
    describe_fine_tuning,
    freeze_weights,
    frozen_names,
    initial_of_resumed,
    load_initial,
    take_weights,
)
from ser.training.module import EmotionClassifier
from ser.training.optimiser import adam, adamw, one_cycle
from tests.checkpoints import random_recogniser, write_checkpoint

NAMES = ("neutral", "happy", "sad")
METADATA = ModelMetadata(
    architecture="residual_bilstm",
    network={"channels": (4, 4), "lstm_hidden": 4, "attention_hidden": 4, "dropout": 0.0, "block_dropout": 0.0},
    utterance_head="linear",
    fusion_weight=0.5,
    class_names=NAMES,
    features=FeatureSettings(groups=("logmel", "pitch"), n_mels=32, max_length=64),
    protocol="Made up.",
)
HEAD = {f"network.classify.{kind}" for kind in ("weight", "bias")}
ENTRY = InitialModel(name="first", sha256="0" * 64, protocol="Made up.")


class PerClass(torch.nn.Module):
    """A network of one's own: a column a class, and a tensor that the number of classes is in otherwise."""

    per_band = True

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.centres = torch.nn.Parameter(torch.randn(n_features, n_classes))
        self.pairs = torch.nn.Parameter(torch.randn(n_classes, n_classes))

    def forward(self, features, lengths):
        return features.mean(dim=2) @ self.centres @ self.pairs


def initial(metadata=METADATA):
    recogniser = random_recogniser(metadata, seed=3)
    for buffer in ("weight", "bias"):
        of_head = getattr(recogniser.utterance_head, buffer)
        of_head.copy_(torch.randn(of_head.shape, generator=torch.Generator().manual_seed(4)))
    return Initial(recogniser=recogniser, metadata=metadata, entry=ENTRY)


def test_the_tensors_with_a_row_for_each_class_are_found_in_any_network():
    heads = {f"utterance_head.{kind}": 0 for kind in ("weight", "bias")}
    assert class_dimensions(METADATA) == dict.fromkeys(HEAD, 0) | heads
    kernel = replace(METADATA, utterance_head="kernel")
    assert class_dimensions(kernel) == dict.fromkeys(HEAD, 0) | heads
    baseline = ModelMetadata(
        architecture="cnn_bilstm_luong", network={}, class_names=NAMES, features=FeatureSettings(), protocol=""
    )
    assert class_dimensions(baseline) == dict.fromkeys(HEAD, 0)
    own = replace(METADATA, architecture="PerClass", network={}, utterance_head=None, fusion_weight=0.0)
    before = torch.random.get_rng_state()
    assert class_dimensions(own, {"PerClass": PerClass}) == {"network.centres": 1, "network.pairs": None}
    assert torch.equal(torch.random.get_rng_state(), before)


def test_rows_of_equal_names_are_kept_and_those_of_other_classes_are_fresh():
    first = initial()
    metadata = replace(METADATA, class_names=("sad", "bored", "neutral", "amused"))
    torch.manual_seed(0)
    ours = build_recogniser(metadata)
    fresh = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    take_weights(ours, metadata, first)
    theirs = first.recogniser.state_dict()
    for name, tensor in ours.state_dict().items():
        if name in class_dimensions(METADATA):
            assert torch.equal(tensor[0], theirs[name][2]), name
            assert torch.equal(tensor[2], theirs[name][0]), name
            assert torch.equal(tensor[[1, 3]], fresh[name][[1, 3]]), name
        else:
            assert torch.equal(tensor, theirs[name]), name
    assert torch.equal(ours.normalisation.mean, first.recogniser.normalisation.mean)


@pytest.mark.parametrize("names", [NAMES, ("a", "b", "c")])
def test_classes_that_are_all_equal_or_all_new(names):
    metadata = replace(METADATA, class_names=names)
    torch.manual_seed(0)
    ours = build_recogniser(metadata)
    fresh = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    take_weights(ours, metadata, first := initial())
    expected = first.recogniser.state_dict() if names == NAMES else fresh
    assert all(torch.equal(ours.state_dict()[name], expected[name]) for name in class_dimensions(METADATA))


def test_what_no_row_can_be_taken_of_is_taken_whole_or_not_at_all():
    metadata = replace(METADATA, architecture="PerClass", network={}, utterance_head=None, fusion_weight=0.0)
    own = {"PerClass": PerClass}
    first = Initial(recogniser=build_recogniser(metadata, own), metadata=metadata, entry=ENTRY)
    for names, is_taken in ((NAMES, True), (NAMES[::-1], False)):
        other = replace(metadata, class_names=names)
        ours = build_recogniser(other, own)
        take_weights(ours, other, first, own)
        assert torch.equal(ours.network.pairs, first.recogniser.network.pairs) == is_taken
        assert torch.equal(ours.network.centres[:, 1], first.recogniser.network.centres[:, 1])


def test_a_model_of_other_features_is_refused():
    other = replace(METADATA, features=replace(METADATA.features, max_length=80))
    with pytest.raises(CheckpointError, match=r"^init_from names first, whose features is not that of this run"):
        take_weights(build_recogniser(other), other, initial())


def test_layers_are_frozen_by_the_beginnings_of_their_names():
    network = build_recogniser(METADATA).network
    names = {name for name, _ in network.named_parameters()}
    assert frozen_names(METADATA, ()) == set()
    assert frozen_names(METADATA, (BODY,)) == names - {name.removeprefix("network.") for name in HEAD}
    assert frozen_names(METADATA, ("stem",)) == {"stem.weight"}  # not stem_norm
    of_two = frozen_names(METADATA, ("blocks.0", "pooling.score.0.bias"))
    assert of_two == {name for name in names if name.startswith("blocks.0.")} | {"pooling.score.0.bias"}
    freeze_weights(network, of_two)
    assert {name for name, weight in network.named_parameters() if not weight.requires_grad} == of_two


@pytest.mark.parametrize(
    ("freeze", "sentence"),
    [
        (("stemm",), r"^model\.freeze has 'stemm', of which the network has no weights; did you mean 'stem'"),
        (("dropout",), r"of which the network has no weights; known are body, stem, stem_norm, blocks"),
        ((BODY, "classify"), r"^model\.freeze is \['body', 'classify'\], which leaves no weights to train"),
    ],
)
def test_what_cannot_be_frozen_is_one_sentence(freeze, sentence):
    with pytest.raises(SettingsError, match=sentence):
        frozen_names(METADATA, freeze)


def batches(n=3):
    generator = torch.Generator().manual_seed(1)
    features = -40 + 10 * torch.randn(8, 34, 60, generator=generator)
    one = (features, torch.full((8,), 60), torch.arange(8) % 3)
    return torch.utils.data.DataLoader([one] * n, batch_size=None)


def fit(module, n_epochs=2):
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=n_epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=1, val_check_interval=2,
    )  # fmt: skip
    trainer.fit(module, train_dataloaders=batches(), val_dataloaders=batches(1))
    return trainer


@pytest.mark.parametrize("freeze", [(), ("stem", "stem_norm"), (BODY,)])
def test_a_frozen_layer_keeps_its_weights_and_the_statistics_of_its_batch_normalisation(freeze):
    recogniser = initial().recogniser
    frozen = frozen_names(METADATA, freeze)
    freeze_weights(recogniser.network, frozen)
    before = {name: tensor.clone() for name, tensor in recogniser.network.state_dict().items()}
    fit(EmotionClassifier(recogniser, METADATA, optimiser=lambda weights: adamw(weights, lr=0.01, weight_decay=0.1)))
    changed = {
        name for name, tensor in recogniser.network.state_dict().items() if not torch.equal(tensor, before[name])
    }
    layers = {name.rpartition(".")[0] for name in frozen}
    statistics = {name for name in before if "running" in name or "batches" in name}
    of_frozen = {name for name in statistics if name.rpartition(".")[0] in layers}
    assert {name for name in changed if name not in statistics} == set(
        dict(recogniser.network.named_parameters())
    ) - frozen
    assert changed & statistics == statistics - of_frozen
    assert len(of_frozen) == {(): 0, ("stem", "stem_norm"): 3, (BODY,): 24}[freeze]


@pytest.mark.parametrize("make", [adam, adamw])
def test_the_body_has_its_own_rate_under_a_schedule_too(make):
    module = EmotionClassifier(
        initial().recogniser,
        METADATA,
        optimiser=lambda weights: make(weights, lr=0.01),
        scheduler=lambda optimiser, n_steps: one_cycle(optimiser, n_steps, max_lr=0.01),
        scheduler_interval="step",
        body_lr=1e-4,
    )
    trainer = fit(module, n_epochs=1)
    (optimiser,) = trainer.optimizers
    head = [weight for group in optimiser.param_groups if group["initial_lr"] > 1e-5 for weight in group["params"]]
    assert {id(weight) for weight in head} == {id(weight) for weight in module.recogniser.network.classify.parameters()}
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(list(module.recogniser.parameters()))
    rates = sorted({group["lr"] for group in optimiser.param_groups})
    assert rates == pytest.approx([1e-8, 1e-6])  # a ten-thousandth of the highest
    assert module.history[0]["lr"] == pytest.approx(1e-6)  # of the head


def test_a_schedule_that_gives_all_weights_one_rate_is_refused():
    module = EmotionClassifier(
        initial().recogniser,
        METADATA,
        scheduler=lambda optimiser, n_steps: OneCycleLR(optimiser, max_lr=0.01, total_steps=n_steps),
        body_lr=1e-5,
    )
    with pytest.raises(
        SettingsError, match=r"^model\.scheduler gives all weights one learning rate, so that model\.body"
    ):
        fit(module)


def test_frozen_weights_have_no_place_in_the_optimiser():
    recogniser = initial().recogniser
    freeze_weights(recogniser.network, frozen_names(METADATA, (BODY,)))
    module = EmotionClassifier(recogniser, METADATA)
    (group,) = module.configure_optimizers().param_groups
    assert [id(weight) for weight in group["params"]] == [
        id(weight) for weight in recogniser.network.classify.parameters()
    ]


def test_the_protocol_has_that_of_the_initial_model_and_of_the_one_before():
    second = describe_fine_tuning(InitialModel(name="a", sha256="", protocol="All of A."), "Random split of B.")
    assert second == "Fine-tuned from a: Random split of B. Before that, a: All of A."
    third = describe_fine_tuning(InitialModel(name="b", sha256="", protocol=second), "Random split of C.")
    assert third.startswith("Fine-tuned from b: Random split of C. Before that, b: Fine-tuned from a: ")


def test_the_pretrained_model_is_found_by_name_with_its_weights_for_pytorch():
    found = load_initial("ser-ravdess")
    beside = json.loads((MODELS / "ser-ravdess.json").read_text(encoding="utf-8"))
    assert found.entry == InitialModel(
        name="ser-ravdess", sha256=beside["sha256"], protocol=beside["metadata"]["protocol"]
    )
    assert len(found.metadata.class_names) == 8


def test_a_run_and_a_file_are_named_without_the_folders_above(tmp_path):
    path = tmp_path / "train" / "today" / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    write_checkpoint(initial().recogniser, METADATA, path)
    shutil.copy(path, tmp_path / "mine.ckpt")
    for source, name in (
        (path, "train/today"),
        (path.parents[1], "train/today"),
        (tmp_path / "mine.ckpt", "mine.ckpt"),
    ):
        entry = load_initial(str(source)).entry
        assert (entry.name, entry.protocol) == (name, "Made up.")
        assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    write_pretrained(tmp_path / "mine.safetensors", initial().recogniser, METADATA)
    assert load_initial(str(tmp_path / "mine.safetensors")).entry.name == "mine"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "ser-ravdes",
            "ser-ravdes: there is no such file or folder, and no pretrained model of that name; did you mean",
        ),
        ("mine.ckpt", "mine.ckpt: there is no such checkpoint"),
        ("mine.onnx", r"init_from is mine\.onnx, an \.onnx file, which cannot be trained; give the checkpoint"),
    ],
)
def test_what_cannot_be_fine_tuned_is_one_sentence(source, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.onnx").touch()
    with pytest.raises(CheckpointError, match=f"^{sentence}"):
        load_initial(source)


def test_a_resumed_run_reads_its_initial_model_from_its_checkpoint(tmp_path):
    path = write_checkpoint(initial().recogniser, replace(METADATA, init_from=ENTRY), tmp_path / "last.ckpt")
    assert initial_of_resumed(path) == ENTRY
    write_checkpoint(initial().recogniser, METADATA, path)
    with pytest.raises(CheckpointError, match=r"last\.ckpt was not fine-tuned, but the run's init_from says so"):
        initial_of_resumed(path)


def test_a_model_with_a_speech_encoder_is_refused(tmp_path, monkeypatch):
    path = write_checkpoint(initial().recogniser, METADATA, tmp_path / "mine.ckpt")
    loaded = SimpleNamespace(recogniser=None), SimpleNamespace(encoder="wavlm")
    monkeypatch.setattr("ser.training.fine_tuning.load_torch_scorer", lambda *path, **own: loaded)
    with pytest.raises(CheckpointError, match=r"mine\.ckpt, a model with a speech encoder, which cannot be fine-tuned"):
        load_initial(str(path))
