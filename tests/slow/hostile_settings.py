"""Configurations that would have something built, run or filled: in a run's folder, or in a group of settings."""

import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser.cli.hydra_command import one_sentence_errors
from ser.errors import CheckpointError, SerError, SettingsError
from ser.training.config import read_run_settings
from ser.training.configuration import plain, resumed
from tests.command_line import ROOT
from tests.slow.attacks import Attack, attacks_by

OVERRIDES: dict[str, list[str]] = {
    "_target_ in the model": ["+model._target_=os.mkdir", "+model.path=CANARY"],
    "_target_ in the network": ["+model.network._target_=os.mkdir", "+model.network.path=CANARY"],
    "_target_ in the features": ["+features._target_=os.mkdir"],
    "_target_ in the trainer": ["+trainer._target_=os.mkdir"],
    "_target_ in the callbacks": ["+callbacks.mine._target_=os.mkdir", "+callbacks.mine.path=CANARY"],
    "_target_ in the logger": ["+logger.mine._target_=os.mkdir"],
    "_partial_ and _args_": ["+model._partial_=true", "+model._args_=[CANARY]"],
    "_convert_ and _recursive_": ["+data._convert_=all", "+data._recursive_=true"],
    "network that is a function": ["model.name=os.system"],
    "network that is a path": ["model.name=../../os"],
    "callbacks given to the trainer": ["+trainer.callbacks=[os.mkdir]"],
    "plugins given to the trainer": ["+trainer.plugins=[os.mkdir]"],
    "strategy given to the trainer": ["+trainer.strategy=os.mkdir"],
    "unknown group": ["+evil.key=1"],
    "misspelt key": ["+model.lrr=1"],
    "text in place of a number": ["model.lr='__import__(\"os\")'"],
    "NaN": ["model.lr=nan"],
    "infinity": ["model.lr=inf"],
    "number of 400 digits": [f"model.lr={'9' * 400}"],
    "10^12 frames": [f"features.max_length={10**12}"],
    "10^9 layers": ["model.network.lstm_layers=1000000000"],
    "list in place of a group": ["+features.groups=[[[[[[1]]]]]]"],
}
"""Kind -> overrides of `train.py`; each is refused before anything is touched."""
RUNS: dict[str, bytes] = {
    "YAML that calls": b"!!python/object/apply:os.mkdir ['CANARY']\n",
    "YAML that calls in a value": b"model: !!python/object/apply:os.mkdir ['CANARY']\n",
    "YAML of a Python name": b"model: !!python/name:os.system\n",
    "YAML of a Python module": b"model: !!python/module:os\n",
    "YAML of an unknown tag": b"model: !evil x\n",
    "aliases that fill the memory": b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"a%d: &a%d [%s]\n" % (k, k, b", ".join([b"*a%d" % (k - 1)] * 9)) for k in range(1, 12)),
    "merge keys that fill the memory": b"a: &a {x: 1}\nb: &b {<<: *a, y: *a}\nc: {<<: *b}\n",
    "brackets without end": b"a: " + b"[" * 50_000,
    "two million bytes": b"a: " + b"x" * 2_000_000,
    "list": b"- 1\n- 2\n",
    "word": b"word\n",
    "nothing": b"",
    "bytes that are no text": b"\xff\xfe\x00\x01",
    "unknown resolver": b"model: ${evil:CANARY}\n",
    "interpolation without end": b"a: ${b}\nb: ${a}\n",
    "interpolation of itself": b"a: ${a}\n",
    "_target_ at the top": b"_target_: os.mkdir\npath: CANARY\n",
    "_target_ in a group": b"model: {_target_: os.mkdir, path: CANARY}\n",
    "missing value": b"model: ???\n",
    "key twice": b"model: {}\nmodel: {}\n",
    "key that is a list": b"? [1, 2]\n: x\n",
}
"""Kind -> the config.yaml in the folder of a run that is to be resumed."""


GROUPS: dict[str, Any] = {
    "not a mapping": [1, 2],
    "group that is text": {"model": "os.system"},
    "keys that are numbers": {1: 2},
    "groups nested a hundred deep": {"model": {"network": reduce(lambda inner, _: {"a": inner}, range(100), 1)}},
    "object": {"model": sys},
    "function": {"model": {"lr": print}},
}
"""Kind -> what is read as the settings of a run."""


def _as_command(call: Callable[[], object], refused: type[SerError]) -> object:
    """Return what `call` returns; where it ends as a command ends, in one sentence, raise that as `refused`."""
    try:
        with one_sentence_errors():
            return call()
    except SystemExit as ended:
        if isinstance(ended.code, str) and ended.code.startswith("error: "):
            raise refused(ended.code) from ended
        raise


def configuration_attacks() -> list[Attack]:
    """Return all attacks by a configuration."""

    def overridden(folder: Path, canary: Path, overrides: list[str]) -> object:
        given = [override.replace("CANARY", str(canary)) for override in overrides]
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
