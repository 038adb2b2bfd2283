"""All settings of a training run, checked together before any data is touched."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ser.augment.spectrogram import SpectrogramAugmentSettings
from ser.augment.waveform import AugmentSettings
from ser.corpora.protocol import describe_split
from ser.corpora.ravdess import EMOTIONS
from ser.corpora.selection import DataSettings
from ser.corpora.splits import Split
from ser.data.datamodule import EmotionData
from ser.errors import SettingsError
from ser.features import validation
from ser.features.groups import FeatureGroup
from ser.features.settings import FeatureSettings
from ser.features.validation import FractionBelowOne, ListOf, PositiveNumber, Seed, settings_dataclass, suggestion
from ser.inference.run_folder import BEST, CHECKPOINTS
from ser.models.encoder_metadata import GROUPS, check_features
from ser.models.metadata import ModelMetadata
from ser.models.networks.context_bilstm import ContextBiLstm
from ser.models.registry import NETWORKS, check_network, check_on_encoder, is_per_band, network_name
from ser.training.components import (
    TARGET,
    arguments_of,
    build,
    build_function,
    check_component,
    find_class,
    find_target,
    is_of_library,
)
from ser.training.fine_tuning import frozen_names
from ser.training.metrics import METRICS
from ser.training.module import EmotionClassifier

Component = dict[str, Any]
"""A class or function by `_target_`, and its arguments."""


@settings_dataclass
class ModelSettings:
    """The group `model`: what is trained and how; every key is explained in `conf/model`."""

    network: Component
    loss: Component
    optimiser: Component
    scheduler: Component | None = None
    scheduler_interval: Literal["epoch", "step"] = "epoch"
    scheduler_monitor: str = "val/loss"
    lr: PositiveNumber = 1e-4
    body_lr: PositiveNumber | None = None
    freeze: str | ListOf[str] = ()
    utterance_head: Literal["linear", "kernel"] | None = None
    fusion_weight: FractionBelowOne = 0.5
    encoder: str | None = None
    encoder_revision: str | None = None
    encoder_trainable: bool = False
    metrics: dict[str, Component] = field(default_factory=dict)

    @property
    def frozen(self) -> tuple[str, ...]:
        """What `freeze` names, also where it is one name."""
        return (self.freeze,) if isinstance(self.freeze, str) else self.freeze


@settings_dataclass
class PathSettings:
    """Folders: `run_dir` of this run, `cache_dir` of features, `data_dir` of corpora that nobody named."""

    output_dir: str
    run_dir: str
    cache_dir: str
    data_dir: str


@settings_dataclass
class RunSettings:
    """The configuration of `train.py`; every key is explained in `conf/`."""

    data: DataSettings
    features: FeatureSettings
    augment: AugmentSettings
    spectrogram: SpectrogramAugmentSettings = field(default_factory=SpectrogramAugmentSettings)
    model: ModelSettings
    trainer: Component
    callbacks: dict[str, Component | None] = field(default_factory=dict)
    logger: dict[str, Component | None] = field(default_factory=dict)
    paths: PathSettings
    seed: Seed
    run_name: str
    optimized_metric: str = "val/loss"
    init_from: str | None = None
    ckpt_path: str | None = None
    score_test: bool = True
    reference_files: bool = True
    # What `_target_` names in the groups data and model and in model.network, and what it makes in the group augment.
    data_class: Any = EmotionData
    module_class: Any = EmotionClassifier
    network_class: Any = nn.Module
    own_augment: Any = None

    def __post_init__(self) -> None:
        if self.run_name in ("", ".", "..") or set(self.run_name) & set("/\\"):
            raise SettingsError(f"run_name is {self.run_name!r}, but should be the name of a folder, without slashes.")

    @property
    def best_epoch_by(self) -> tuple[str | None, str]:
        """The metric that chooses `checkpoints/best.ckpt`, None for the last epoch, and "min" or "max"."""
        chosen = self.best_checkpoint or {}
        return chosen.get("monitor"), chosen.get("mode", "min")

    @property
    def best_checkpoint(self) -> Component | None:
        """The callback that writes `checkpoints/best.ckpt`; None where nobody chose one, and the last epoch is kept."""
        for values in self.callbacks.values():
            if values is None or f"{values.get('filename')}.ckpt" != BEST:
                continue
            if Path(str(values.get("dirpath"))) == self.run_dir / CHECKPOINTS:
                return values
        return None

    @property
    def per_band(self) -> bool:
        return is_per_band(self.network_class)

    @property
    def own_networks(self) -> dict[str, type[nn.Module]]:
        """The network by its name, where it is none of ours."""
        name = network_name(self.network_class)
        return {} if name in NETWORKS else {name: self.network_class}

    def describe_protocol(self, split: Split | None = None) -> str:
        """Return one sentence on who was held out and what chose the checkpoint; with the split it says more."""
        return describe_split(self.data, split, keeps_last=self.best_epoch_by[0] is None)

    @property
    def run_dir(self) -> Path:
        return Path(self.paths.run_dir)

    def metadata(self) -> ModelMetadata:
        """Return the metadata of the model that this run trains, without the entries that only the run knows.

        Classes that only the corpus knows are among them; any two stand for these.
        """
        return ModelMetadata(
            architecture=network_name(self.network_class),
            network=arguments_of(self.model.network),
            utterance_head=self.model.utterance_head,
            fusion_weight=self.model.fusion_weight if self.model.utterance_head else 0.0,
            class_names=self.data.classes or EMOTIONS[:2],
            features=self.features,
            protocol=self.describe_protocol(),
        )


_SET_BY_US = {
    "logger": "choose loggers by the group logger",
    "callbacks": "choose callbacks by the group callbacks",
    "default_root_dir": "give paths.run_dir",
    "enable_progress_bar": "leave the bar out with ~callbacks.progress_bar",
    "use_distributed_sampler": "the batches are shared out over devices by the datamodule's own sampler",
}
"""Arguments of the trainer that the program fills in, and what is given instead."""


def read_run_settings(configuration: Mapping[str, Any]) -> RunSettings:
    """Return the settings of a run from its resolved configuration.

    Raises
    ------
    SettingsError : the first thing wrong with it, in one sentence.
    """
    if not isinstance(configuration, Mapping):
        raise SettingsError(f"The configuration is {configuration!r}, but should be a group of settings.")
    values = dict(configuration)
    bases: tuple[tuple[str, str, type], ...] = (
        ("data", "data_class", EmotionData),
        ("model", "module_class", EmotionClassifier),
    )
    for group, key, base in bases:
        if isinstance(values.get(group), Mapping) and TARGET in values[group]:
            values[key] = find_class(values[group], base, where=group)
            values[group] = arguments_of(values[group])
    if isinstance(values.get("model"), Mapping) and "network" in values["model"]:
        values["network_class"] = find_class(values["model"]["network"], nn.Module, where="model.network")
    if isinstance(values.get("augment"), Mapping) and TARGET in values["augment"]:
        check_component(values["augment"], where="augment", given=("waveform", "sample_rate", "rng"))
        values["own_augment"] = build_function(values.pop("augment"), where="augment")
        values["augment"] = {}
    settings = validation.read_settings(RunSettings, with_own_parts(values), where="")
    features, model = settings.features, settings.model
    is_class = isinstance(find_target(model.loss, where="model.loss"), type)
    check_component(
        model.loss,
        where="model.loss",
        given=("class_counts", "n_classes", "num_classes"),
        n_positional=0 if is_class else 2,
    )
    for name, metric in model.metrics.items():
        if name in METRICS:
            raise SettingsError(f"model.metrics.{name} is a metric of every run already; give yours another name.")
        check_component(metric, where=f"model.metrics.{name}", given=("n_classes", "num_classes"))
    _check_optimiser(model)
    check_network(settings.network_class, settings.metadata())
    if model.frozen:
        frozen_names(settings.metadata(), model.frozen, settings.own_networks)
    for key in ("freeze", "body_lr"):
        if settings.init_from is None and getattr(model, key):
            raise SettingsError(f"model.{key} is for fine-tuning; give init_from too, or leave it out.")
    is_for_encoders = network_name(settings.network_class).startswith("encoder_")
    if model.encoder is None and features.groups == GROUPS and is_for_encoders:
        raise SettingsError(
            "model.encoder is missing; give the folder of a speech encoder, or its name on the hub, such as "
            "microsoft/wavlm-base-plus."
        )
    if model.encoder is not None:
        check_features(features)
        check_on_encoder(settings.network_class)
    has_context = issubclass(settings.network_class, ContextBiLstm)
    if has_context != (settings.data.recordings_per_speaker is not None):
        raise SettingsError(
            "data.recordings_per_speaker "
            + ("is needed, such as 8," if has_context else "is only")
            + " for a network that takes speaker context, such as model=context_bilstm."
        )
    if has_context and settings.spectrogram.mixes:
        raise SettingsError("spectrogram.mixup is not for a network that takes speaker context; leave it out.")
    if has_context and settings.data.batch_size % (settings.data.recordings_per_speaker or 1):
        raise SettingsError(
            f"data.batch_size is {settings.data.batch_size}, but should be a multiple of data.recordings_per_speaker, "
            f"{settings.data.recordings_per_speaker}."
        )
    takes_logmel = settings.per_band and (model.utterance_head or has_context or features.groups == ("logmel",))
    if settings.spectrogram.changes_anything and not takes_logmel:
        raise SettingsError(
            f"spectrogram changes log-mel features of a network that normalises per band, but features.groups is "
            f"{list(features.groups)} and the network {network_name(settings.network_class)}: give features=logmel "
            "model=residual_bilstm, or spectrogram=none."
        )
    _check_trainer(settings.trainer)
    _check_monitored(settings)
    return settings


def _check_optimiser(model: ModelSettings) -> None:
    """Check optimiser and schedule, and make those of libraries for one weight: they refuse bad values only then."""
    target = check_component(model.optimiser, where="model.optimiser", n_positional=1)
    weights = [nn.Parameter(torch.zeros(1))]
    optimiser: Any = Adam(weights, lr=model.lr)
    if is_of_library(target):
        optimiser = build({**model.optimiser, "_partial_": False}, where="model.optimiser", given={"params": weights})
    if model.scheduler is None:
        return
    target = check_component(model.scheduler, where="model.scheduler", given=("n_steps",), n_positional=1)
    if is_of_library(target):
        given = {"optimizer": optimiser, "n_steps": 10}
        build({**model.scheduler, "_partial_": False}, where="model.scheduler", given=given)


def with_own_parts(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with `data.reader` and `features.own_groups` built.

    Raises
    ------
    SettingsError : as `ser.training.components.build`.
    """
    values = dict(configuration)
    if isinstance(values.get("data"), Mapping) and values["data"].get("reader") is not None:
        reader = values["data"]["reader"]
        check_component(reader, where="data.reader", n_positional=1)
        values["data"] = {**values["data"], "reader": build_function(reader, where="data.reader")}
    if "features" in values:
        values["features"] = _with_own_groups(values["features"])
    return values


def _with_own_groups(features: Any) -> Any:
    """Return the group `features` with its `own_groups` built; those that `groups` does not name are its last."""
    if not isinstance(features, Mapping) or not (own := features.get("own_groups")) or not isinstance(own, Mapping):
        return features
    built = {}
    for name, one in own.items():
        check_component(one, where=f"features.own_groups.{name}")
        built[name] = build(one, where=f"features.own_groups.{name}", base=FeatureGroup)
    groups = features.get("groups")
    if isinstance(groups, list):
        groups = [*groups, *(name for name in own if name not in groups)]
    return {**features, "own_groups": built, "groups": groups}


def _check_trainer(values: Mapping[str, Any]) -> None:
    """Bind the group `trainer` to the signature of Lightning's Trainer, so that a misspelt key stops here."""
    for key in _SET_BY_US:
        if key in values:
            raise SettingsError(f"trainer.{key} is set by the program; {_SET_BY_US[key]}.")
    check_component(values, where="trainer", given=tuple(_SET_BY_US))
    # What Lightning takes and then divides by, or trains nothing with.
    for key in ("max_epochs", "max_steps", "accumulate_grad_batches", "check_val_every_n_epoch"):
        value = values.get(key)
        if value is not None and (not isinstance(value, int) or value < 1) and (key, value) != ("max_steps", -1):
            no_limit = ", or -1 for no limit" if key == "max_steps" else ""
            raise SettingsError(f"trainer.{key} is {value!r}, but should be a whole number of at least 1{no_limit}.")
    for key in ("limit_train_batches", "val_check_interval"):
        if values.get(key) == 0:
            raise SettingsError(f"trainer.{key} is 0, but should be 1 or more batches, or a fraction of them above 0.")


def _check_monitored(settings: RunSettings) -> None:
    """Check the names of all components, and of the metrics that they and a sweep look at."""
    monitors = [("optimized_metric", settings.optimized_metric, None)]
    scheduler = settings.model.scheduler or {}
    plateau = find_target(scheduler, where="model.scheduler") if scheduler else None
    if isinstance(plateau, type) and issubclass(plateau, ReduceLROnPlateau):
        monitors.append(("model.scheduler_monitor", settings.model.scheduler_monitor, scheduler.get("mode", "min")))
    only_ours = settings.module_class is EmotionClassifier
    for group in ("callbacks", "logger"):
        for name, values in getattr(settings, group).items():
            if values is None:
                continue
            target = check_component(values, where=f"{group}.{name}")
            # A logger writes what is logged, and logs nothing of its own.
            only_ours &= group == "logger" or target.__module__.startswith(("ser.", "lightning."))
            if isinstance(values.get("monitor"), str):
                monitors.append((f"{group}.{name}.monitor", values["monitor"], values.get("mode", "min")))
    names = [f"{part}/{name}" for part in ("val", "train") for name in (*METRICS, *settings.model.metrics)]
    for key, monitor, mode in monitors:
        if monitor not in names:
            if only_ours:  # a module or callback of one's own may log anything
                raise SettingsError(f"{key} is {monitor!r}, which is never logged; {suggestion(monitor, names)}.")
            continue
        metric = monitor.partition("/")[2]
        better = "min" if metric == "loss" else "max"
        if mode not in (None, better) and metric in METRICS:
            group = "model.scheduler" if key == "model.scheduler_monitor" else key.rpartition(".")[0]
            raise SettingsError(f"{group}.mode is {mode!r}, but {monitor} is best the other way: {better!r}.")
