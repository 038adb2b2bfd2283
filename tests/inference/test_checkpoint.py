import copy
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from ser.corpora.ravdess import EMOTIONS
from ser.errors import CheckpointError
from ser.features.groups import FeatureGroup
from ser.inference.checkpoint import PREFIX, load_recogniser, read_checkpoint, save_atomically
from ser.inference.predictor import Predictor
from ser.inference.run_folder import CHECKPOINTS, CONFIGURATION, OUTCOME, find_checkpoint
from ser.models.metadata import read_metadata
from ser.models.registry import build_recogniser
from tests.checkpoints import checkpoint_of, random_recogniser

BIAS = "network.classify.bias"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.ckpt"


@pytest.fixture
def content(tiny_content):
    return copy.deepcopy(tiny_content)


def refuse(path, complaint=None, *, content=None):
    """Load the checkpoint, of that content if any, which must be refused by name, in one short line."""
    if content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=complaint) as refused:
        load_recogniser(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value).removeprefix(str(path))) < 400


def test_a_round_trip_gives_equal_outputs_and_metadata(tiny_metadata, path):
    described = replace(
        tiny_metadata,
        network=tiny_metadata.network | {"dropout": 0.25},
        class_names=("happy", "calm"),  # in the order of the outputs, whatever it is
        features=replace(tiny_metadata.features, tuning=0.0),
        scored_recordings=("03-01-01-01-01-01-01",),
        configuration={"data": {"fold": None, "list": [1, 2.5, "x"]}},
        versions={"torch": "2"},
    )
    recogniser, shape = random_recogniser(described), (187, 64)
    torch.manual_seed(3)
    recogniser.train()(torch.randn(6, *shape), torch.full((6,), 64))  # running statistics that are not the initial ones
    recogniser.eval()
    save_atomically(checkpoint_of(recogniser, described) | {"epoch": 4}, path)

    loaded, metadata = load_recogniser(path)

    assert metadata == described
    assert not loaded.training
    inputs = torch.randn(5, *shape), torch.full((5,), 64)
    with torch.no_grad():
        for ours, theirs in zip(loaded(*inputs), recogniser(*inputs), strict=True):
            assert torch.equal(ours, theirs)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_flipped_bit_anywhere_is_noticed(path, tiny_checkpoint, place):
    content = bytearray(tiny_checkpoint.read_bytes())
    with zipfile.ZipFile(tiny_checkpoint) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    # Behind the local header and its padding, so in the numbers themselves.
    content[largest.header_offset + 200 + place * (largest.file_size - 200) // 100] ^= 1
    path.write_bytes(content)
    refuse(path, "is damaged")


def test_the_checkpoint_of_a_run_is_found_and_a_missing_one_refused(tiny_checkpoint, tmp_path):
    run = tmp_path / "run"
    (run / CHECKPOINTS).mkdir(parents=True)
    for name in ("best.ckpt", "last.ckpt"):
        (run / CHECKPOINTS / name).write_bytes(tiny_checkpoint.read_bytes())
    assert find_checkpoint(run) == find_checkpoint(run / CHECKPOINTS) == run / CHECKPOINTS / "best.ckpt"
    assert find_checkpoint(run, which="last.ckpt") == run / CHECKPOINTS / "last.ckpt"
    assert Predictor.load(run).class_names == EMOTIONS
    refuse(tmp_path / "missing.ckpt", "no such checkpoint")
    refuse(tmp_path, "holds no checkpoint")


def test_a_folder_of_runs_means_the_one_that_was_finished_last(tmp_path):
    outcomes = {
        "2026-01-02": (2, "{}"),
        "2026-01-01": (3, '{"error": null}'),
        "2026-01-04": (4, '{"error": "no luck"}'),
    }
    for name, outcome in {**outcomes, "2026-01-03": None}.items():
        (tmp_path / name / CHECKPOINTS).mkdir(parents=True)
        (tmp_path / name / CHECKPOINTS / "best.ckpt").touch()
        if outcome:
            (tmp_path / name / OUTCOME).write_text(outcome[1])
            os.utime(tmp_path / name / OUTCOME, (outcome[0], outcome[0]))
    assert find_checkpoint(tmp_path) == tmp_path / "2026-01-01" / CHECKPOINTS / "best.ckpt"
    (tmp_path / CONFIGURATION).touch()  # a cross-validation has no newest run that stood for it
    refuse(tmp_path, f"{tmp_path} is a sweep or a cross-validation; name one of its runs, such as .*2026-01-01.")


class Payload:
    """What a stranger may put into a pickle: code that runs when it is read."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return (os.mkdir, (str(self.victim),))


@pytest.mark.parametrize("place", ["whole", "weights", "metadata", "beside"])
@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_is_refused_and_never_runs(path, content, tmp_path, place, legacy):
    victim = tmp_path / "victim"
    if place == "whole":
        content = Payload(victim)
    elif place == "weights":
        content["state_dict"][PREFIX + BIAS] = Payload(victim)
    elif place == "metadata":
        content["ser"]["protocol"] = Payload(victim)
    else:
        content["callbacks"] = [Payload(victim)]
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    # A file of the old kind is no archive, and is refused before anything reads what it holds.
    refuse(path, "is damaged or not a checkpoint" if legacy else "was refused")
    assert not victim.exists()
    torch.load(path, weights_only=False)  # the payload is a live one
    assert victim.exists()


def test_a_plain_pickle_with_code_is_refused_and_never_runs(path, tmp_path):
    path.write_bytes(pickle.dumps({"ser": {}, "state_dict": Payload(tmp_path / "victim")}))
    refuse(path)
    assert not (tmp_path / "victim").exists()


def test_a_whole_pickled_module_is_refused(path, tiny_checkpoint):
    refuse(path, "was refused", content=load_recogniser(tiny_checkpoint)[0])


def test_truncated_checkpoints_and_other_files_are_refused(path, tiny_checkpoint):
    whole = tiny_checkpoint.read_bytes()
    truncated = [whole[: int(part * len(whole))] for part in (0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99, 0.9999)]
    for content in (*truncated, b"These are words.\n" * 50, b"\x80\x02.", b"PK\x03\x04" + bytes(200), bytes(999)):
        path.write_bytes(content)
        refuse(path, "is damaged or not a checkpoint")


@pytest.mark.parametrize(
    "change",
    [
        dict,  # the same members, but compressed
        lambda members: {},
        lambda members: {"archive/words.txt": b"words"},
        lambda members: {name: content for name, content in members.items() if "/data/" not in name},
        lambda members: members | {name: b"" for name in members if name.endswith("data.pkl")},
        lambda members: members | {name: members[name][:40] for name in members if name.endswith("data.pkl")},
        lambda members: members | {name: b"words" for name in members if name.endswith("version")},
    ],
)
def test_an_archive_whose_checksums_fit_and_that_is_no_checkpoint_is_refused(path, tiny_checkpoint, change):
    with zipfile.ZipFile(tiny_checkpoint) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if change is dict else zipfile.ZIP_STORED) as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)
    refuse(path, "is damaged or not a checkpoint|not a file of tensors and plain values")


@pytest.mark.parametrize("content", [{"state_dict": {}, "hyper_parameters": {}}, {"ser": "x"}, [1], torch.zeros(3)])
def test_checkpoints_of_others_are_refused(path, content, tiny_content):
    refuse(path, "not a checkpoint of this project", content=content)
    # Lightning's own loader builds what these name; there are none in a checkpoint of ours.
    forged = tiny_content | {"hyper_parameters": {"_instantiator": "os.mkdir"}}
    refuse(path, "was refused: it holds hyper_parameters", content=forged)


def test_random_damage_raises_nothing_but_checkpoint_errors(path, tiny_checkpoint):
    rng = np.random.default_rng(0)
    whole = np.frombuffer(tiny_checkpoint.read_bytes(), dtype=np.uint8)
    refused = 0
    for _ in range(60):
        damaged = whole.copy()
        damaged[rng.integers(0, 2500, size=2)] = rng.integers(0, 256, size=2)  # where the pickle lies
        path.write_bytes(damaged.tobytes())
        try:
            load_recogniser(path)
        except CheckpointError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    ("keys", "value", "complaint"),
    [
        (["architecture"], "resnet", "architecture is 'resnet'"),
        (["architecture"], "os.system", "architecture is 'os.system'"),
        (["network", "_target_"], "os.system", "model.network._target_ is not a setting"),
        (["network", "lstm_hiden"], 4, "did you mean 'lstm_hidden'"),
        # 16 TB of weights: torch could not even ask for them.
        (["network", "lstm_hidden"], 10**6, r"as float32 \[8, 16\], but it should be float32 \[8, 4000000\]"),
        (["network", "lstm_hidden"], 10**12, "cannot be used"),
        (["network", "lstm_hidden"], 2**62, "cannot be used"),
        (["network", "lstm_hidden"], {"_target_": "os.getcwd"}, "model.network.lstm_hidden is"),
        (["features", "own_groups"], {"zcr2": 1}, "own_groups.zcr2 is 1 and no FeatureGroup"),
        (["_target_"], "os.system", "checkpoint._target_ is not a setting"),
        (["_instantiator"], "os.system", "checkpoint._instantiator is not a setting"),
        (["features", "_target_"], "os.system", "checkpoint.features._target_ is not a setting"),
        (["features", "hop_length"], 0, "checkpoint.features.hop_length is 0"),
        (["features", "max_length"], 1, "features.max_length is 1"),
        (["features"], None, "checkpoint.features is None"),
        (["class_names"], ["happy", "hun\ngry"], r"checkpoint.class_names holds 'hun\\ngry'; a name is"),
        (["class_names"], ["happy"], r"checkpoint.class_names is \['happy'\], but should be a list of at least 2"),
        (["class_names"], "happy", "checkpoint.class_names is 'happy'"),
        (["format"], 2, "has format 2; this release of ser reads 1"),
        (["versions", "torch"], 2, "checkpoint.versions.torch is 2"),
    ],
)
def test_bad_metadata_are_refused(path, content, keys, value, complaint):
    entry = content["ser"]
    for key in keys[:-1]:
        entry = entry[key]
    entry[keys[-1]] = value
    refuse(path, complaint, content=content)


@pytest.mark.parametrize("entry", ["architecture", "network", "class_names", "features", "protocol"])
def test_incomplete_metadata_are_refused(path, content, entry):
    del content["ser"][entry]
    refuse(path, f"checkpoint.{entry} is missing", content=content)


def test_a_number_that_claims_to_be_many_is_refused(path, content):
    content["ser"]["network"]["lstm_hidden"] = 300
    metadata = read_metadata(content["ser"], path)
    content["state_dict"] = {
        PREFIX + name: torch.zeros((), dtype=value.dtype).expand(value.shape)
        for name, value in build_recogniser(metadata).state_dict().items()
    }
    refuse(path, "claims weights of [0-9,]+ bytes", content=content)
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize(
    ("name", "other", "complaint"),
    [
        ("network.classify.weight", torch.zeros(8, 3), r"as float32 \[8, 3\], but it should be float32 \[8, 16\]"),
        ("normalisation.mean", torch.zeros(187, 63), r"normalisation.mean as float32 \[187, 63\], but it should be"),
        (BIAS, torch.zeros(8).long(), "as int64 .*, but it should be float32"),
        (BIAS, torch.full((8,), torch.nan), "weights in network.classify.bias that are not finite"),
        (BIAS, torch.full((8,), torch.inf), "weights in network.classify.bias that are not finite"),
        (BIAS, "words", "network.classify.bias as str, but it should be float32"),
        (BIAS, torch.zeros(8).to_sparse(), "cannot be used"),
        (BIAS, torch.zeros(8, device="meta"), "cannot be used"),
        ("network.extra", torch.zeros(1), "holds a tensor 'network.extra' that the network of its metadata does not"),
    ],
)
def test_weights_that_do_not_fit_are_refused(path, content, name, other, complaint):
    content["state_dict"][PREFIX + name] = other
    refuse(path, complaint, content=content)


def test_each_weight_is_needed(path, content):
    for name in content["state_dict"]:
        rest = {key: value for key, value in content["state_dict"].items() if key != name}
        refuse(path, f"lacks the tensor {name.removeprefix(PREFIX)}", content=content | {"state_dict": rest})
    for nothing in ({}, None, [1], {3: torch.zeros(1)}):
        refuse(path, "cannot be used: it holds no weights", content=content | {"state_dict": nothing})


def test_weights_in_half_precision_are_read(path, content):
    weights = content["state_dict"]
    content["state_dict"] = {n: each.bfloat16() if each.is_floating_point() else each for n, each in weights.items()}
    torch.save(content, path)
    bias = load_recogniser(path)[0].network.classify.bias
    torch.testing.assert_close(bias, weights[PREFIX + BIAS].bfloat16().float(), rtol=0, atol=0)


def test_what_lightning_adds_is_left_alone_and_the_configuration_is_information(path, content):
    content |= {"epoch": 3, "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}], "loops": {"a": [1]}}
    content["state_dict"]["train_loss"] = torch.zeros(())
    content["ser"]["configuration"] = {"model": {"_target_": "os.mkdir", "path": str(path.parent / "victim")}}
    save_atomically(content, path)
    assert read_checkpoint(path)["epoch"] == 3
    assert load_recogniser(path)[1].configuration["model"]["_target_"] == "os.mkdir"
    assert not (path.parent / "victim").exists()


def test_a_write_that_fails_leaves_the_last_checkpoint(path, content, monkeypatch):
    save_atomically(content, path)
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        save_atomically({"cannot be pickled": lambda: 0}, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


class Mean(torch.nn.Module):
    """A network of one's own."""

    def __init__(self, n_features, n_classes, width=4):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(n_features, width), torch.nn.Linear(width, n_classes))

    def forward(self, features, lengths):
        return self.layers(features.mean(dim=2))


def test_a_model_of_ones_own_is_loaded_with_its_classes_handed_in(tiny_metadata, path):
    own = {"peak": FeatureGroup("full scale: 1", fast=lambda analysis: analysis.power.max(axis=1))}
    networks = {"Mean": Mean}
    features = replace(tiny_metadata.features, groups=("zcr", "peak"), own_groups=own)
    metadata = replace(tiny_metadata, architecture="Mean", network={"width": 5}, features=features)
    recogniser = build_recogniser(metadata, networks).eval()
    recogniser.normalisation.set_statistics(torch.randn(2, 64), 1 + torch.rand(2, 64))
    save_atomically(checkpoint_of(recogniser, metadata), path)

    refuse(path, r"groups has 'peak'.*feature_groups=\{'peak': <its FeatureGroup>\}")
    with pytest.raises(CheckpointError, match=r"architecture is 'Mean', .*networks=\{'Mean': <its class>\}"):
        load_recogniser(path, feature_groups=own)
    with pytest.raises(CheckpointError, match=r"architecture is 'Mean', .*did you mean 'Man'"):
        load_recogniser(path, feature_groups=own, networks={"Man": Mean})
    loaded, described = load_recogniser(path, feature_groups=own, networks=networks)
    assert described == metadata
    inputs = torch.randn(3, 2, 64), torch.full((3,), 64)
    for ours, theirs in zip(loaded(*inputs), recogniser(*inputs), strict=True):
        assert torch.equal(ours, theirs)
