import copy
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser.augment.waveform import AugmentSettings
from ser.cli.hydra_command import _run_folder
from ser.corpora.selection import DataSettings
from ser.errors import SettingsError
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain, read_settings
from ser.models.registry import ARCHITECTURES
from ser.training.config import CallbackSettings, LoggerSettings, PathSettings, RunSettings, read_run_settings
from ser.training.configuration import plain
from ser.training.module import ModelSettings

CONF = Path(__file__).parents[2] / "conf"
MINIMAL = {group: {} for group in ("data", "features", "augment", "model", "callbacks", "logger")} | {
    "trainer": {"max_epochs": 3},
    "paths": {"output_dir": "o", "run_dir": "o/run", "cache_dir": "o/cache", "data_dir": "data"},
    "seed": 42,
    "run_name": "test",
}


def composed(*overrides):
    """The resolved configuration that `train.py` would be given."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose("train", ["paths.run_dir=outputs/run", *overrides]))


def names(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def put(keys, value):
    """MINIMAL with one more key, `keys` being dotted."""
    configuration = copy.deepcopy(MINIMAL)
    *groups, last = keys.split(".")
    place = configuration
    for group in groups:
        place = place.setdefault(group, {})
    place[last] = value
    return configuration


def test_the_configuration_says_what_the_code_does_by_default():
    configuration = composed()
    settings = read_run_settings(configuration)
    network_settings = ARCHITECTURES[settings.model.name].settings
    assert read_settings(network_settings, settings.model.network, where="network") == network_settings()
    assert settings.model == ModelSettings(network=settings.model.network)
    assert settings == RunSettings(
        data=DataSettings(),
        features=FeatureSettings(),
        augment=AugmentSettings(),
        model=settings.model,
        trainer=configuration["trainer"],
        callbacks=CallbackSettings(),
        logger=LoggerSettings(),
        paths=PathSettings(output_dir="outputs", run_dir="outputs/run", cache_dir="outputs/cache", data_dir="data"),
        seed=42,
        run_name="train",
    )


def test_the_configuration_names_every_setting():
    configuration = composed()
    settings = read_run_settings(configuration)
    assert as_plain(settings) == configuration
    assert set(configuration["model"]["network"]) == set(as_plain(ARCHITECTURES["cnn_bilstm_luong"].settings()))


def test_the_seed_is_also_the_augmentations():
    assert read_run_settings(composed("seed=0")).data.augment_seed == 0
    assert read_run_settings(composed("seed=0")).data.split_seed == 42


@pytest.mark.parametrize("experiment", names("experiment"))
def test_every_experiment_is_a_valid_run(experiment):
    settings = read_run_settings(composed(f"experiment={experiment}"))
    assert settings.run_name == experiment


@pytest.mark.parametrize(
    "choice",
    [f"{group}={name}" for group in ("data", "features", "augment", "model", "callbacks") for name in names(group)],
)
def test_every_choice_of_a_group_is_a_valid_run(choice):
    read_run_settings(composed(choice))


def test_the_run_without_neutral_has_seven_classes():
    settings = read_run_settings(composed("experiment=baseline_without_neutral"))
    assert settings.data.classes == DataSettings().classes[1:]
    assert settings.model.network["lstm_dropout"] == 0.6


def test_the_minimum_is_enough():
    assert read_run_settings(MINIMAL).data == DataSettings()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dtaa", {}, "dtaa is not a setting; did you mean 'data'"),
        ("data.chanel", "song", "data.chanel is not a setting; did you mean 'channel'"),
        ("data.synthetic.n_actor", 1, "data.synthetic.n_actor is not a setting; did you mean 'n_actors'"),
        ("features.n_mel", 1, "features.n_mel is not a setting; did you mean 'n_mels'"),
        ("augment.noise", 1, "augment.noise is not a setting; known are noise_factor, noise_random_scale"),
        ("model.learning_rate", 1, "model.learning_rate is not a setting"),
        ("model.scheduler.patince", 1, "model.scheduler.patince is not a setting; did you mean 'patience'"),
        ("model.network.lstm_hiden", 1, "model.network.lstm_hiden is not a setting; did you mean 'lstm_hidden'"),
        ("trainer.max_epoch", 1, "trainer.max_epoch is not a setting; did you mean 'max_epochs'"),
        ("trainer.callbacks", [], "trainer.callbacks is not a setting"),
        ("trainer.enable_progress_bar", False, "trainer.enable_progress_bar is not a setting"),
        ("trainer._target_", "os.system", "trainer._target_ is not a setting"),
        ("callbacks.early_stoping", {}, "callbacks.early_stoping is not a setting; did you mean 'early_stopping'"),
        ("callbacks.checkpoint.patience", 1, "callbacks.checkpoint.patience is not a setting"),
        ("logger.wandb", True, "logger.wandb is not a setting"),
        ("paths.run", "x", "paths.run is not a setting; did you mean 'run_dir'"),
        ("seed", "42", "seed is '42', but should be a whole number"),
        ("seed", -1, "seed is -1"),
        ("seed", 2**32, "seed is 4294967296"),
        ("model.lr", "1e-4", "model.lr is '1e-4', but should be a number"),
        ("model.lr", 0, "model.lr is 0"),
        ("model.name", "cnn", "model.name is 'cnn'; .*cnn_bilstm_luong"),
        ("model.scheduler.factor", 1, "model.scheduler.factor is 1"),
        ("model.network.dropout", 1.5, "model.network.dropout is 1.5"),
        ("data.batch_size", 8.0, "data.batch_size is 8.0, but should be a whole number"),
        ("data", None, "data is None, but should be a group"),
        ("features.max_length", 1, "features.max_length is 1, but model cnn_bilstm_luong needs at least 2 frames"),
        ("features.groups", "mfcc", "features.groups is 'mfcc', but should be a list"),
        ("augment.noise_factor", -1, "augment.noise_factor is -1"),
        ("trainer", None, "trainer is None, but should be a mapping"),
        ("trainer.max_epochs", 0, "trainer.max_epochs is 0"),
        ("trainer.max_epochs", "many", "trainer.max_epochs is 'many'"),
        ("trainer.check_val_every_n_epoch", 2, "trainer.check_val_every_n_epoch is 2"),
        ("callbacks.checkpoint.monitor", "val/los", "callbacks.checkpoint.monitor is 'val/los'.* 'val/loss'"),
        ("callbacks.early_stopping.monitor", "val/f1", "callbacks.early_stopping.monitor is 'val/f1'"),
        ("callbacks.early_stopping.mode", "mim", "callbacks.early_stopping.mode is 'mim'; did you mean 'min'"),
        ("callbacks.early_stopping.patience", 0, "callbacks.early_stopping.patience is 0"),
        ("callbacks.checkpoint", {"monitor": "val/uar"}, "callbacks.checkpoint.mode is 'min', but val/uar .*: 'max'"),
        ("callbacks.early_stopping.mode", "max", "callbacks.early_stopping.mode is 'max', but val/loss .*: 'min'"),
        ("optimized_metric", "val/acc", "optimized_metric is 'val/acc'"),
        ("logger.csv", "yes", "logger.csv is 'yes', but should be true or false"),
        ("reference_files", 1, "reference_files is 1, but should be true or false"),
    ],
)
def test_an_unknown_key_or_a_bad_value_is_refused_at_each_level(key, value, message):
    refuse(put(key, value), message)


def refuse(configuration, message):
    with pytest.raises(SettingsError, match=f"^{message}") as refused:
        read_run_settings(configuration)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", sorted(MINIMAL))
def test_a_missing_key_is_refused(key):
    refuse({name: value for name, value in MINIMAL.items() if name != key}, f"{key} is missing")


def test_a_missing_number_of_epochs_is_refused():
    refuse({**MINIMAL, "trainer": {}}, "trainer.max_epochs is None")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["features.groups=[logmel,zcr,rms]"], r"model.network.fusion_weight needs features.groups=\[logmel,pitch\]"),
        (["features.n_mels=40"], ".*a multiple of 16 bands .* the features have 42 rows"),
        # The pitch is no band of the network's.
        (["model.network.fusion_weight=0"], r".*features.groups is \['logmel', 'pitch'\]"),
        ([], None),
        (["model.network.fusion_weight=0", "features.groups=[logmel]"], None),
    ],
)
def test_the_utterance_level_head_and_the_spectrogram_need_features_that_fit(overrides, message):
    configuration = composed("experiment=logmel_resbilstm", *overrides)
    if message is None:
        read_run_settings(configuration)
    else:
        refuse(configuration, message)
