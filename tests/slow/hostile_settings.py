"""Configurations that would have something built, run or filled: in a run's folder, or in a group of settings."""

import contextlib
import io
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser.cli.hydra_command import _status
from ser.errors import CheckpointError, SerError, SettingsError
from ser.training.config import read_run_settings
from ser.training.configuration import plain, resumed
from tests.command_line import ROOT
from tests.slow.attacks import Attack, attacks_by

OVERRIDES = (
    "model._target_=os.mkdir +model.path=CANARY", "model.network._target_=os.mkdir +model.network.path=CANARY",
    "data._target_=os.mkdir +data.path=CANARY", "trainer._target_=os.mkdir +trainer.path=CANARY",
    "+features._target_=os.mkdir", "+logger.mine._target_=os.mkdir", "model.loss._target_=os.mkdir",
    "model.optimiser._target_=os.mkdir +model.optimiser.path=CANARY", "+model._partial_=true +model._args_=[CANARY]",
    "+data._args_=[CANARY]", "+model.name=os.system", "model.network._target_=../../os", "+evil.key=1",
    "+trainer.callbacks=[os.mkdir]", "+trainer.default_root_dir=CANARY", "+callbacks.mine._target_=CANARY",
    "+model.lrr=1", "model.lr='__import__(\"os\")'", "model.lr=nan", "model.lr=inf", f"model.lr={'9' * 400}",
    f"features.max_length={10**12}", "model.network.lstm_layers=1000000000", "+features.groups=[[[[[[1]]]]]]",
)  # fmt: skip
"""Overrides of `train.py`, each refused before anything is touched; a callback that exists would be the user's own."""
RUNS = (
    b"model: !!python/module:os\n", b"model: !evil x\n", b"a: &a {x: 1}\nb: &b {<<: *a, y: *a}\nc: {<<: *b}\n",
    b"word\n", b"", b"model: ${evil:CANARY}\n", b"a: ${b}\nb: ${a}\n", b"a: ${a}\n", b"model: ???\n",
    b"_target_: os.mkdir\npath: CANARY\n", b"model: {_target_: os.mkdir, path: CANARY}\n",
)  # fmt: skip
"""The config.yaml in the folder of a run that is to be resumed; more are in tests/training/test_configuration.py."""
GROUPS = (
    [1, 2], {"model": "os.system"}, {1: 2}, {"model": sys}, {"model": {"lr": print}},
    {"model": {"network": reduce(lambda inner, _: {"a": inner}, range(100), 1)}},
)  # fmt: skip
"""What is read as the settings of a run."""


def _as_command(call: Callable[[], object], refused: type[SerError]) -> None:
    """Call it as a command does; where that ends in one sentence, raise the sentence as `refused`."""
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        status = _status(call)
    sentence = printed.getvalue()
    if status == 1 and sentence.startswith("error: "):
        raise refused(sentence.removesuffix("\n"))


def configuration_attacks() -> list[Attack]:
    """Return all attacks by a configuration."""

    def overridden(folder: Path, canary: Path, overrides: str) -> object:
        given = overrides.replace("CANARY", str(canary)).split()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            configuration = compose("train", ["data=synthetic", "paths.run_dir=run", *given])
        return _as_command(lambda: read_run_settings(plain(configuration)), SettingsError)

    def resume(folder: Path, canary: Path, content: bytes) -> object:
        (folder / "config.yaml").write_bytes(content.replace(b"CANARY", str(canary).encode()))
        configuration = OmegaConf.create({"ckpt_path": str(folder)})
        return _as_command(lambda: read_run_settings(plain(resumed(configuration, []))), CheckpointError)

    return [
        *attacks_by("setting", SettingsError, OVERRIDES, overridden),
        *attacks_by("resumed run", CheckpointError, RUNS, resume),
        *attacks_by("group", SettingsError, GROUPS, lambda *given: read_run_settings(given[-1])),
    ]
