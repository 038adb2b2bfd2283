"""All settings of a training run, checked together before any data is touched."""

import inspect
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from ser.augment.spectrogram import SpectrogramAugmentSettings
from ser.augment.waveform import AugmentSettings
from ser.corpora.selection import DataSettings
from ser.errors import SettingsError
from ser.features import validation
from ser.features.settings import FeatureSettings
from ser.features.validation import NaturalNumber, Positive, Seed, settings_dataclass, suggestion
from ser.models.registry import ARCHITECTURES, check_architecture
from ser.training.module import MONITORED, ModelSettings


@settings_dataclass
class MonitorSettings:
    """What the choice of the best checkpoint looks at; None chooses the last epoch."""

    monitor: str | None = "val/loss"
    mode: Literal["min", "max"] = "min"

    def __post_init__(self) -> None:
        if self.monitor is None:
            return
        _check_monitored("monitor", self.monitor)
        better = "min" if self.monitor.endswith("loss") else "max"
        if self.mode != better:
            raise SettingsError(f"mode is {self.mode!r}, but {self.monitor} is best the other way: {better!r}.")


def _check_monitored(key: str, value: str) -> None:
    if value not in MONITORED:
        raise SettingsError(f"{key} is {value!r}, which is never logged; {suggestion(value, MONITORED)}.")


@settings_dataclass
class EarlyStoppingSettings(MonitorSettings):
    """What stops a run early, after `patience` epochs without a gain of `min_delta`; `monitor` None never does."""

    patience: Positive = 10
    min_delta: NaturalNumber = 0.0


@settings_dataclass
class CallbackSettings:
    early_stopping: EarlyStoppingSettings = field(default_factory=EarlyStoppingSettings)
    checkpoint: MonitorSettings = field(default_factory=MonitorSettings)
    progress: bool = True


@settings_dataclass
class LoggerSettings:
    tensorboard: bool = True
    csv: bool = True


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
    trainer: dict[str, Any]
    callbacks: CallbackSettings
    logger: LoggerSettings
    paths: PathSettings
    seed: Seed
    run_name: str
    optimized_metric: str = "val/loss"
    ckpt_path: str | None = None
    score_test: bool = True
    reference_files: bool = True

    def __post_init__(self) -> None:
        _check_monitored("optimized_metric", self.optimized_metric)

    def describe_protocol(self) -> str:
        """Return one sentence on who was held out and what chose the checkpoint."""
        return self.data.describe_split(keeps_last=self.callbacks.checkpoint.monitor is None)

    @property
    def run_dir(self) -> Path:
        return Path(self.paths.run_dir)


_SET_BY_US = {
    "self", "logger", "callbacks", "default_root_dir", "plugins", "strategy", "profiler", "num_nodes",
    "enable_progress_bar",
}  # fmt: skip


def read_run_settings(configuration: Mapping[str, Any]) -> RunSettings:
    """Return the settings of a run from its resolved configuration.

    Raises
    ------
    SettingsError : the first thing wrong with it, in one sentence.
    """
    settings = validation.read_settings(RunSettings, configuration, where="")
    _check_trainer(settings.trainer)
    features, model = settings.features, settings.model
    sizes = {"n_features": features.n_features, "max_length": features.max_length}
    is_fused = check_architecture(model.name, model.network, **sizes) > 0
    if is_fused and features.groups != ("logmel", "pitch"):
        raise SettingsError(
            f"model.network.fusion_weight needs features.groups=[logmel,pitch], but it is {list(features.groups)}: "
            "give these groups, or model.network.fusion_weight=0."
        )
    takes_logmel = ARCHITECTURES[model.name].per_band and (is_fused or features.groups == ("logmel",))
    if settings.spectrogram.changes_anything and not takes_logmel:
        raise SettingsError(
            f"spectrogram changes log-mel features of a network that normalises per band, but features.groups is "
            f"{list(features.groups)} and model.name {model.name}: give features=logmel model=residual_bilstm, or "
            "spectrogram=none."
        )
    return settings


def _check_trainer(values: Mapping[str, Any]) -> None:
    """Bind the group `trainer` to the signature of Lightning's Trainer, so that a misspelt key stops here."""
    from lightning import Trainer

    known = set(inspect.signature(Trainer).parameters) - _SET_BY_US
    for key in values:
        if key not in known:
            raise SettingsError(f"trainer.{key} is not a setting; {suggestion(key, known)}.")
    epochs = values.get("max_epochs")
    if not isinstance(epochs, int) or epochs < 1:
        raise SettingsError(f"trainer.max_epochs is {epochs!r}, but should be at least 1.")
    if (every := values.get("check_val_every_n_epoch", 1)) != 1:
        raise SettingsError(
            f"trainer.check_val_every_n_epoch is {every!r}, but the schedule needs validation in each (1)."
        )
