"""A run's folder may come from a stranger too: its configuration is plain values or nothing."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser.cli.hydra_command import CONF_FOLDER, _run_folder
from ser.errors import CheckpointError, SettingsError
from ser.training.config import read_run_settings
from ser.training.configuration import (
    plain,
    read_configuration,
    resumed,
    write_configuration,
)
from ser.training.initial_settings import fit_to_initial_model

BOMB = "b0: &b0 [x, x]\n" + "".join(f"b{k}: &b{k} [{', '.join([f'*b{k - 1}'] * 9)}]\n" for k in range(1, 5))


def test_what_was_written_is_read(tmp_path):
    write_configuration(tmp_path, {"seed": 7, "data": {"classes": ["sad"], "root": None}})
    assert read_configuration(tmp_path) == {"seed": 7, "data": {"classes": ["sad"], "root": None}}


@pytest.mark.parametrize(
    "content",
    [
        b"!!python/object/apply:os.mkdir ['victim']\n", b"model: !!python/object/apply:os.mkdir ['victim']\n",
        b"model: !!python/name:os.system\n", b"a: {b: \n", b"a: 1\na: 2\n", b"\xff\xfe\x00", b"? [1, 2]\n: x\n",
        b"- 1\n", BOMB.encode(), b"a: " + b"[" * 40 + b"]" * 40, b"a: " + b"x" * 2**20,
    ],
    ids=lambda content: content[:20].decode("latin-1"),
)  # fmt: skip
def test_anything_else_is_refused_by_name_and_runs_nothing(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.yaml") as refused:
        resumed(OmegaConf.create({"ckpt_path": str(tmp_path)}), [])
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "victim").exists()


def test_a_configuration_without_its_paths_is_given_them(tmp_path):
    write_configuration(tmp_path, {"seed": 7})
    configuration = resumed(OmegaConf.create({"ckpt_path": str(tmp_path)}), [])
    assert configuration.paths.run_dir == configuration.ckpt_path == str(tmp_path)


def fine_tuned(*overrides):
    """The configuration of a run that these overrides begin."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        configuration = compose("train", ["paths.run_dir=outputs/run", *overrides])
    fit_to_initial_model(configuration, overrides)
    return plain(configuration)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["experiment=fine_tune", "model.freeze=body", "model.lr=0.1"],
        ["model=residual_bilstm", "features=logmel", "features.groups=[logmel,pitch]", "model.utterance_head=linear"],
        ["model.network.lstm_hidden=64", "model/network=residual_bilstm", "data.classes=[happy,sad]"],
    ],
)
def test_features_and_network_are_those_of_the_initial_model(overrides):
    configuration = fine_tuned("init_from=ser-ravdess", *overrides)
    settings = read_run_settings(configuration)
    assert settings.features.groups == ("logmel", "pitch")
    assert (settings.features.n_mels, settings.features.max_length, settings.features.level_db) == (64, 256, -20.0)
    assert configuration["features"]["backend"] == "fast"
    assert settings.network_class.__name__ == "ResidualBiLstm"
    assert settings.model.network["lstm_hidden"] == 64
    assert "conv_channels" not in settings.model.network
    assert (settings.model.utterance_head, settings.model.fusion_weight) == ("linear", 0.5)


def test_a_checkpoint_without_a_head_and_what_is_free_to_choose(tiny_checkpoint):
    free = ("features.backend=librosa", "features.max_length=64", "experiment=logmel_resbilstm", "spectrogram=none")
    configuration = fine_tuned(f"init_from={tiny_checkpoint}", *free)
    settings = read_run_settings(configuration)
    assert (settings.features.max_length, settings.features.backend) == (64, "librosa")
    assert settings.model.network["conv_channels"] == [4, 4]
    assert settings.model.utterance_head is None
    assert read_run_settings(fine_tuned("init_from=ser-ravdess", "model.fusion_weight=0.3")).model.fusion_weight == 0.3


def test_a_model_with_context_gets_batches_that_hold_some():
    settings = read_run_settings(fine_tuned("init_from=ser-voices", "experiment=fine_tune"))
    assert settings.network_class.__name__ == "ContextBiLstm"
    assert (settings.features.sample_rate, settings.data.recordings_per_speaker, settings.data.batch_size) == (
        16000,
        4,
        8,
    )
    own = ("data.recordings_per_speaker=2", "data.batch_size=6")
    settings = read_run_settings(fine_tuned("init_from=ser-voices", "experiment=fine_tune", *own))
    assert (settings.data.recordings_per_speaker, settings.data.batch_size) == (2, 6)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "features.n_mels=40",
            "features.n_mels is 40, but the model that init_from=ser-ravdess names has 64; leave out",
        ),
        ("features=baseline", ".* names has 1024; leave out features=baseline"),
        ("model=tiny", ".*leave out model=tiny"),
        ("model/network=tiny", ".*leave out model/network=tiny"),
        ("model.network.lstm_hidden=8", "model.network.lstm_hidden is 8, but .* has 64"),
        ("model.network.lstm_dropout=0.1", "model.network.lstm_dropout is 0.1, but .* has no such setting"),
        ("model.utterance_head=kernel", "model.utterance_head is 'kernel', but .* has 'linear'"),
        ("+features.groups=[logmel]", "features.groups is .*logmel.*, but .* has .*'logmel', 'pitch'"),
    ],
)
def test_an_override_that_contradicts_the_initial_model_is_refused(override, sentence):
    with pytest.raises(SettingsError, match=f"^{sentence}") as refused:
        fine_tuned("init_from=ser-ravdess", override)
    assert "\n" not in str(refused.value)
