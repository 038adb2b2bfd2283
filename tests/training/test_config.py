import copy
import dataclasses
import inspect
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ser.augment.waveform import AugmentSettings
from ser.cli.hydra_command import _run_folder
from ser.corpora.selection import DataSettings
from ser.errors import SettingsError
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain
from ser.models.registry import NETWORKS
from ser.training.components import arguments_of
from ser.training.config import ModelSettings, PathSettings, RunSettings, read_run_settings
from ser.training.configuration import plain
from ser.training.trainer import build_trainer

CONF = Path(__file__).parents[2] / "conf"
COMPONENTS = ("network", "loss", "optimiser", "scheduler")
MINIMAL = {group: {} for group in ("data", "features", "augment")} | {
    "model": {
        "network": {"_target_": "ser.models.networks.cnn_bilstm_luong.CnnBiLstmLuong"},
        "loss": {"_target_": "ser.training.loss.CrossEntropy"},
        "optimiser": {"_target_": "ser.training.optimiser.adam", "_partial_": True, "lr": 1e-4},
    },
    "trainer": {"_target_": "lightning.Trainer"},
    "paths": {"output_dir": "o", "run_dir": "o/run", "cache_dir": "o/cache", "data_dir": "data"},
    "seed": 42,
    "run_name": "test",
}


def composed(*overrides):
    """The resolved configuration that `train.py` would be given, to change as one likes."""
    return copy.deepcopy(_composed(*overrides))


@cache
def _composed(*overrides):
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose("train", ["paths.run_dir=outputs/run", *overrides]))


def names(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def put(keys, value):
    """The configuration with one more key or another value, `keys` being dotted."""
    configuration = composed()
    *groups, last = keys.split(".")
    place = configuration
    for group in groups:
        place = place.setdefault(group, {})
    place[last] = value
    return configuration


def test_the_configuration_says_what_the_code_does_by_default():
    configuration = composed()
    settings = read_run_settings(configuration)
    network, loss, optimiser, scheduler = (configuration["model"][key] for key in COMPONENTS)
    assert settings.model == ModelSettings(network=network, loss=loss, optimiser=optimiser, scheduler=scheduler)
    assert settings == RunSettings(
        data=DataSettings(),
        features=FeatureSettings(),
        augment=AugmentSettings(),
        model=settings.model,
        trainer=configuration["trainer"],
        callbacks=configuration["callbacks"],
        logger=configuration["logger"],
        paths=PathSettings(output_dir="outputs", run_dir="outputs/run", cache_dir="outputs/cache", data_dir="data"),
        seed=42,
        run_name="train",
        network_class=NETWORKS["cnn_bilstm_luong"],
    )


@pytest.mark.parametrize("choice", ["model=residual_bilstm callbacks=last_epoch_ema", "model=cnn_bilstm_luong"])
def test_the_components_of_the_configuration_have_the_defaults_of_their_classes(choice):
    configuration = composed("features.groups=[logmel]", *choice.split())
    model, callbacks = configuration["model"], configuration["callbacks"]
    of_the_recipe = {"lr", "max_lr", "label_smoothing", "class_weight_power", "dirpath", "filename", "monitor", "decay"}
    for values in (*(model[key] for key in COMPONENTS), callbacks["checkpoint"], callbacks.get("early_stopping")):
        target = get_object(values["_target_"]) if values else dict
        if not target.__module__.startswith("ser."):
            continue
        parameters = inspect.signature(target).parameters
        for name, value in arguments_of(values).items():
            if name not in of_the_recipe:
                default = parameters[name].default
                assert value == (list(default) if isinstance(default, tuple) else default), name


def test_the_configuration_names_every_setting():
    configuration = composed()
    settings = read_run_settings(configuration)
    for group, cls in (("data", DataSettings), ("features", FeatureSettings), ("model", ModelSettings)):
        values = arguments_of(configuration[group])
        assert set(values) == {field.name for field in dataclasses.fields(cls)}, group
        values.pop("own_groups", None)  # no plain values
        assert as_plain(getattr(settings, group)) == values


def test_the_seed_is_also_the_augmentations():
    assert read_run_settings(composed("seed=0")).data.augment_seed == 0
    assert read_run_settings(composed("seed=0")).data.split_seed == 42


NEEDED = {
    "data=manifest": ["data.manifest=labels.csv"],
    "data=several": ["data.corpora=[ravdess,cremad]"],
    "model=encoder": ["model.encoder=a/b"],
    "experiment=several_corpora": ["data.corpora=[ravdess,cremad]"],
    "callbacks=pruning": ["callbacks.pruning.study=study.log", "callbacks.pruning.trial=0"],
    "experiment=voices": ["data.corpora=[ravdess,cremad]"],
    "model=context_bilstm": ["features=logmel_8khz", "data.batch_size=64", "data.recordings_per_speaker=8"],
    "model/network=context_bilstm": ["features=logmel_8khz", "data.batch_size=64", "data.recordings_per_speaker=8"],
}
"""What a choice cannot do without."""


@pytest.mark.parametrize("experiment", names("experiment"))
def test_every_experiment_is_a_valid_run(experiment):
    choice = f"experiment={experiment}"
    settings = read_run_settings(composed(choice, *NEEDED.get(choice, [])))
    assert settings.run_name == experiment


@pytest.mark.parametrize(
    "choice",
    [
        f"{group}={name}"
        for group in (
            *("data", "features", "augment", "model", "callbacks", "logger", "trainer", "debug"),
            *("model/network", "model/optimiser", "model/scheduler", "model/loss"),
        )
        for name in names(group)
    ],
)
def test_every_choice_of_a_group_is_a_valid_run(choice):
    read_run_settings(composed(choice, *NEEDED.get(choice, [])))


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
        ("model.optimiser.weight_decay", 0.1, "model.optimiser.weight_decay is not a setting; known are lr"),
        ("trainer.max_epoch", 1, "trainer.max_epoch is not a setting; did you mean 'max_epochs'"),
        ("trainer.callbacks", [], "trainer.callbacks is set by the program; choose .* the group callbacks"),
        ("trainer.enable_progress_bar", False, "trainer.enable_progress_bar is set .* ~callbacks.progress_bar"),
        ("trainer._target_", "os.nosuch", "trainer._target_ is 'os.nosuch', but os has no 'nosuch'"),
        ("trainer._target_", "os.sep", "trainer._target_ is 'os.sep', which is no class or function"),
        ("data._target_", "os.system", "data._target_ is 'os.system', but should be a subclass of .*EmotionData"),
        ("model._target_", "os.system", "model._target_ is 'os.system', but .* of ser.*EmotionClassifier"),
        ("model.network._target_", "os.system", "model.network._target_ is 'os.system', but .* of torch.*Module"),
        ("model.network._target_", "no.Such", "model.network._target_ is 'no.Such', which cannot be .* named 'no'"),
        ("model.loss", None, "model.loss is None"),
        ("model.loss", {}, "model.loss is {}, but should be a group with a `_target_`"),
        ("model.metrics.one", {"_target_": "nowhere.One"}, "model.metrics.one._target_ is 'nowhere.One', which cannot"),
        ("callbacks.early_stoping", {}, "callbacks.early_stoping is {}, but should be a group with a `_target_`"),
        ("callbacks.checkpoint.patience", 1, "callbacks.checkpoint.patience is not a setting"),
        ("logger.wandb", True, "logger.wandb is True, but should be a mapping"),
        ("paths.run", "x", "paths.run is not a setting; did you mean 'run_dir'"),
        ("seed", "42", "seed is '42', but should be a whole number"),
        ("seed", -1, "seed is -1"),
        ("seed", 2**32, "seed is 4294967296"),
        ("model.lr", "1e-4", "model.lr is '1e-4', but should be a number"),
        ("model.lr", 0, "model.lr is 0"),
        ("model.metrics.uar", {"_target_": "torchmetrics.MeanMetric"}, "model.metrics.uar is a metric of every run"),
        ("run_name", "../elsewhere", "run_name is '../elsewhere', but should be the name of a folder"),
        ("model.loss.label_smoothing", 1, "model.loss.label_smoothing is 1, but should be below 1"),
        ("model.optimiser.lr", -1, "model.optimiser.lr is -1, but should be above 0"),
        ("model.scheduler.factor", 1, "model.scheduler.factor is 1, which is refused: Factor should be < 1.0"),
        ("model.scheduler_interval", "batch", "model.scheduler_interval is 'batch'; known are epoch, step"),
        ("model.scheduler_monitor", "val/lss", "model.scheduler_monitor is 'val/lss', which .* 'val/loss'"),
        ("model.scheduler.mode", "max", "model.scheduler.mode is 'max', but val/loss is best the other way: 'min'"),
        ("model.network.dropout", 1.5, "model.network.dropout is 1.5"),
        ("data.batch_size", 8.0, "data.batch_size is 8.0, but should be a whole number"),
        ("data", None, "data is None, but should be a group"),
        ("features.max_length", 1, "features.max_length is 1, but cnn_bilstm_luong needs at least 2 frames"),
        ("features.groups", "mfcc", "features.groups is 'mfcc', but should be a list"),
        ("augment.noise_factor", -1, "augment.noise_factor is -1"),
        ("trainer", None, "trainer is None, but should be a mapping"),
        ("trainer.max_epochs", 0, "trainer.max_epochs is 0, but should be a whole number of at least 1"),
        ("trainer.max_epochs", "many", "trainer.max_epochs is 'many'"),
        ("trainer.max_steps", 0, "trainer.max_steps is 0, but .* at least 1, or -1 for no limit"),
        ("trainer.accumulate_grad_batches", 0, "trainer.accumulate_grad_batches is 0"),
        ("trainer.check_val_every_n_epoch", 0, "trainer.check_val_every_n_epoch is 0"),
        ("trainer.limit_train_batches", 0.0, "trainer.limit_train_batches is 0, but should be 1 or more batches"),
        ("trainer.val_check_interval", 0, "trainer.val_check_interval is 0, but should be 1 or more batches"),
        ("callbacks.checkpoint.monitor", "val/los", "callbacks.checkpoint.monitor is 'val/los'.* 'val/loss'"),
        ("callbacks.early_stopping.monitor", "val/f1", "callbacks.early_stopping.monitor is 'val/f1'"),
        ("callbacks.early_stopping.mode", "mim", "callbacks.early_stopping.mode is 'mim'; did you mean 'min'"),
        ("callbacks.early_stopping.patience", 0, "callbacks.early_stopping.patience is 0"),
        ("callbacks.checkpoint.monitor", "val/uar", "callbacks.checkpoint.mode is 'min', but val/uar .*: 'max'"),
        ("callbacks.early_stopping.mode", "max", "callbacks.early_stopping.mode is 'max', but val/loss .*: 'min'"),
        ("optimized_metric", "val/acc", "optimized_metric is 'val/acc'"),
        ("logger.csv", "yes", "logger.csv is 'yes', but should be a mapping"),
        ("reference_files", 1, "reference_files is 1, but should be true or false"),
        ("model.freeze", "body", "model.freeze is for fine-tuning; give init_from too, or leave it out"),
        ("model.body_lr", 1e-4, "model.body_lr is for fine-tuning; give init_from too, or leave it out"),
        ("model.body_lr", 0, "model.body_lr is 0, but should be above 0"),
        ("model.freeze", ["lstmm"], r"model.freeze has 'lstmm', of which .* did you mean 'lstm'"),
    ],
)
def test_an_unknown_key_or_a_bad_value_is_refused_at_each_level(key, value, message):
    refuse(put(key, value), message)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("trainer.devices=0", "trainer.*devices is 0, which is refused"),
        ("trainer.accelerator=gpux", "trainer.accelerator is 'gpux', which is refused: .* Available names are: auto"),
        ("trainer.precision=half", "trainer.precision is 'half', which is refused: .*Allowed"),
        ("+trainer.max_time=soon", "trainer.max_time is 'soon', which is refused: .*DD:HH:MM:SS"),
        ("+trainer.sync_batchnorm=true", "trainer.sync_batchnorm is true, which is for GPUs; leave it out on a CPU"),
    ],
)
def test_what_lightning_refuses_is_one_sentence(overrides, message):
    settings = read_run_settings(composed("logger=none", *overrides.split()))
    with pytest.raises(SettingsError, match=f"^{message}") as refused:
        build_trainer(settings)
    assert "\n" not in str(refused.value)


def refuse(configuration, message):
    with pytest.raises(SettingsError, match=f"^{message}") as refused:
        read_run_settings(configuration)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", sorted(MINIMAL))
def test_a_missing_key_is_refused(key):
    refuse({name: value for name, value in MINIMAL.items() if name != key}, f"{key} is missing")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["features.groups=[logmel,zcr,rms]"], r"model.utterance_head needs features.groups=\[logmel,pitch\]"),
        (["features.n_mels=40"], ".*a multiple of 16 bands .* the features have 42 rows"),
        # The pitch is no band of the network's.
        (["model.utterance_head=null"], r".*features.groups is \['logmel', 'pitch'\]"),
        (["model.utterance_head=forest"], "model.utterance_head is 'forest'; known are linear, kernel"),
        ([], None),
        (["model.utterance_head=null", "features.groups=[logmel]"], None),
    ],
)
def test_the_utterance_level_head_and_the_spectrogram_need_features_that_fit(overrides, message):
    configuration = composed("experiment=logmel_resbilstm", *overrides)
    if message is None:
        read_run_settings(configuration)
    else:
        refuse(configuration, message)


class Patient(ReduceLROnPlateau):
    """A plateau of one's own."""


def test_a_subclass_of_the_plateau_looks_at_the_monitored_metric_too():
    own = f"model.scheduler._target_={__name__}.Patient"
    read_run_settings(composed(own, "model.scheduler_monitor=val/uar", "model.scheduler.mode=max"))
    with pytest.raises(SettingsError, match=r"^model\.scheduler_monitor is 'val/uarr', .* did you mean 'val/uar'"):
        read_run_settings(composed(own, "model.scheduler_monitor=val/uarr"))
    with pytest.raises(SettingsError, match=r"^model\.scheduler\.mode is 'min', but val/uar is best the other way"):
        read_run_settings(composed(own, "model.scheduler_monitor=val/uar"))


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_a_logger_whose_package_is_missing_names_the_extra_that_brings_it(logger):
    if find_spec(logger):
        pytest.skip(f"{logger} is installed")
    sentence = rf'^logger\.{logger} needs {logger}, which is not installed: pip install "ser\[loggers\]"\.$'
    with pytest.raises(SettingsError, match=sentence):
        build_trainer(read_run_settings(composed(f"logger={logger}")))


@pytest.mark.parametrize(
    "path",
    [*CONF.glob("logger/*.yaml"), *CONF.glob("callbacks/*.yaml")],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_every_key_of_a_logger_and_a_callback_has_a_comment(path):
    above, *lines = path.read_text(encoding="utf-8").splitlines()
    assert above.startswith("# ")
    inherits = "defaults:" in lines  # then the keys are explained in the file that it is made of
    for line in lines:
        key = line.strip().partition(":")[0]
        if line.startswith("  ") and key.isidentifier() and key != "_target_":
            assert inherits or above.strip().startswith("# "), f"{path.name}: {key}"
        above = line
