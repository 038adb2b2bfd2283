"""Checkpoints of strangers: code in pickles of every form, foreign and damaged archives, descriptions that lie."""

import copy
import io
import operator
import os
import pickle
import subprocess
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ser.errors import CheckpointError
from ser.inference.checkpoint import PREFIX, describe
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MODELS, load_pretrained
from soak.attacks import Attack

Content = dict[str, Any]
FILE = "stranger.ckpt"


@cache
def _good() -> Content:
    recogniser, metadata = load_pretrained(MODELS / f"{DEFAULT_MODEL}.safetensors")
    state = {PREFIX + name: value for name, value in recogniser.state_dict().items()}
    return {"state_dict": state, "ser": describe(metadata)}


def good_content() -> Content:
    """Return the content of a checkpoint that is accepted, to be spoilt."""
    return copy.deepcopy(_good())


class Payload:
    """An object that a pickle makes by calling `function`: code that runs as soon as it is read."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


PAYLOADS: dict[str, Callable[[str], object]] = {
    "os.mkdir": lambda canary: Payload(os.mkdir, canary),
    "a shell": lambda canary: Payload(os.system, f"mkdir '{canary}'"),
    "exec of source": lambda canary: Payload(exec, f"import os; os.mkdir({canary!r})"),
    "eval of source": lambda canary: Payload(eval, f"__import__('os').mkdir({canary!r})"),
    "another process": lambda canary: Payload(subprocess.call, ["/bin/mkdir", canary]),
    "a map that is listed": lambda canary: Payload(list, Payload(map, os.mkdir, [canary])),
    "an attribute of an import": lambda canary: Payload(
        operator.call, Payload(operator.call, operator.attrgetter("mkdir"), Payload(__import__, "os")), canary
    ),
}
"""Name -> what runs in a pickle, given the path of the canary."""


def _dotted_pickle(canary: str) -> bytes:
    """Return a pickle that reaches os.mkdir through a module of torch: STACK_GLOBAL follows dots."""
    name, attribute = b"torch.serialization", b"os.mkdir"
    short = [b"\x8c" + bytes([len(text)]) + text for text in (name, attribute)]
    text = canary.encode()
    return b"\x80\x04" + b"".join(short) + b"\x93X" + len(text).to_bytes(4, "little") + text + b"\x85R."


def _old_pickle(canary: str) -> bytes:
    """Return a pickle of protocol 0, which makes an instance by the opcode INST."""
    return b"(S'" + canary.encode() + b"'\nios\nmkdir\n."


def _with_pickle(path: Path, data: bytes, *, beside: bool = False) -> None:
    """Write a checkpoint in whose archive the pickle is another one, or has another of its name beside it."""
    whole = io.BytesIO()
    torch.save(good_content(), whole)
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as forged:
        for member in archive.infolist():
            is_pickle = member.filename.endswith("data.pkl")
            forged.writestr(member.filename, data if is_pickle and not beside else archive.read(member))
            if is_pickle and beside:
                with warnings.catch_warnings(action="ignore"):  # zipfile's own, of the doubled name
                    forged.writestr(member.filename, data)


def _careless(folder: Path) -> object:
    return torch.load(folder / FILE, weights_only=False)


def _attack(
    kind: str, write: Callable[[Path, Path], object], *, alive: Callable[[Path], object] | None = None
) -> Attack:
    """Return the attack that writes a file and loads it."""

    def attempt(folder: Path, canary: Path) -> object:
        write(folder / FILE, canary)
        return Predictor.load(folder / FILE)

    return Attack(kind=kind, door="checkpoint", refused_by=CheckpointError, attempt=attempt, alive=alive)


def _payloads() -> list[Attack]:
    def whole(path: Path, canary: Path, *, make: Callable[[str], object]) -> None:
        torch.save(make(str(canary)), path)

    def within(path: Path, canary: Path, *, place: str) -> None:
        content, payload = good_content(), Payload(os.mkdir, str(canary))
        if place == "weights":
            content["state_dict"][next(iter(content["state_dict"]))] = payload
        elif place == "metadata":
            content["ser"]["protocol"] = payload
        else:
            content[place] = {"any": payload}
        torch.save(content, path)

    def legacy(path: Path, canary: Path) -> None:
        content = good_content() | {"more": Payload(os.mkdir, str(canary))}
        torch.save(content, path, _use_new_zipfile_serialization=False)

    def plain_pickle(path: Path, canary: Path) -> None:
        path.write_bytes(pickle.dumps(Payload(os.mkdir, str(canary))))

    def numpy_object(path: Path, canary: Path) -> None:
        content = good_content()
        content["ser"]["temperature"] = np.array([Payload(os.mkdir, str(canary))], dtype=object)
        torch.save(content, path)

    def module_with_hook(path: Path, canary: Path) -> None:
        module = nn.Linear(2, 2)
        module.register_buffer("payload", torch.zeros(1))
        module.__dict__["payload"] = Payload(os.mkdir, str(canary))
        torch.save(module, path)

    def read_careless(folder: Path) -> object:
        return pickle.loads((folder / FILE).read_bytes())  # noqa: S301 - to show that the payload is a live one

    attacks = [
        _attack(f"pickle that is {name}", partial(whole, make=make), alive=_careless) for name, make in PAYLOADS.items()
    ]
    attacks += [
        _attack(f"payload in the {place}", partial(within, place=place), alive=_careless)
        for place in ("weights", "metadata", "optimizer_states", "callbacks", "loops", "hyper_parameters")
    ]
    return [
        *attacks,
        _attack("payload in torch's old format", legacy, alive=_careless),
        _attack("payload in a plain pickle", plain_pickle, alive=read_careless),
        _attack("payload in a numpy array of objects", numpy_object, alive=_careless),
        _attack("payload in a pickled module", module_with_hook, alive=_careless),
        _attack("pickle of protocol 0", lambda path, canary: _with_pickle(path, _old_pickle(str(canary)))),
        _attack(
            "dotted name through torch.serialization",
            lambda path, canary: _with_pickle(path, _dotted_pickle(str(canary))),
            alive=_careless,
        ),
        _attack(
            "second pickle of the same name",
            lambda path, canary: _with_pickle(path, _dotted_pickle(str(canary)), beside=True),
        ),
    ]


def _foreign() -> list[Attack]:
    def script(path: Path, canary: Path) -> None:
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)

    def compressed(path: Path, canary: Path) -> None:
        whole = io.BytesIO()
        torch.save(good_content(), whole)
        with zipfile.ZipFile(whole) as stored, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for member in stored.infolist():
                packed.writestr(member.filename, stored.read(member))

    def flipped(path: Path, canary: Path) -> None:
        torch.save(good_content(), path)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    def tar(path: Path, canary: Path) -> None:
        with tarfile.open(path, "w") as archive:
            link = tarfile.TarInfo("storages")
            link.type, link.linkname = tarfile.LNKTYPE, str(canary)
            archive.addfile(link)

    return [
        _attack("pickled module", lambda path, canary: torch.save(nn.LSTM(2, 2), path)),
        _attack("TorchScript", script),
        _attack("another project's", lambda path, canary: torch.save({"state_dict": {}, "epoch": 3}, path)),
        _attack("compressed archive, a bomb", compressed),
        _attack("flipped bit", flipped),
        _attack("tar with a hard link", tar),
        _attack("words", lambda path, canary: path.write_bytes(b"These are words.\n" * 99)),
        _attack("nothing", lambda path, canary: path.write_bytes(b"")),
        _attack("zip without members", lambda path, canary: zipfile.ZipFile(path, "w").close()),
    ]


def _lists_of_lists(depth: int) -> object:
    """Return ten of ten of ten ... of a word: a few hundred bytes in a pickle, 10^depth words when written out."""
    value: object = "word"
    for _ in range(depth):
        value = [value] * 10
    return value


def _deep(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def _cyclic() -> object:
    value: list[object] = []
    value.append(value)
    return value


METADATA_ATTACKS: dict[str, tuple[tuple[str, ...], Any]] = {
    "_target_ in the metadata": (("_target_",), "os.system"),
    "_target_ in the network": (("network", "_target_"), "os.system"),
    "_target_ in a value of the network": (("network", "lstm_hidden"), {"_target_": "os.getcwd"}),
    "_target_ in the features": (("features", "_target_"), "os.system"),
    "_instantiator in the metadata": (("_instantiator",), "os.system"),
    "architecture that is a function": (("architecture",), "os.system"),
    "architecture that is a path": (("architecture",), "../../os"),
    "path of a module in the network": (("network", "conv"), "torch.nn.Conv1d"),
    "unknown format": (("format",), 99),
    "tensor as the format": (("format",), torch.zeros(3)),
    "whole number of 400 digits": (("temperature",), 10**400),
    "NaN as the temperature": (("temperature",), float("nan")),
    "network of 6 GB": (("network", "lstm_hidden"), 8_000),
    "network of 10^30 units": (("network", "lstm_hidden"), 10**30),
    "network of 2^62 units": (("network", "lstm_hidden"), 2**62),
    "lists that fill the memory": (("protocol",), _lists_of_lists(12)),
    "the same in the configuration": (("configuration",), {"a": _lists_of_lists(12)}),
    "list that holds itself": (("class_names",), _cyclic()),
    "lists in lists": (("protocol",), _deep(150)),
    "text of a million letters": (("protocol",), "x" * 10**6),
    "key of a million letters": (("x" * 10**6,), 1),
    "text that cannot be written": (("protocol",), "\ud800"),
    "10^12 frames": (("features", "max_length"), 10**12),
    "transform of 2^40 samples": (("features", "n_fft"), 2**40),
    "10^9 octaves": (("features", "n_bands"), 10**9),
    "rate of 10^12 Hz": (("features", "sample_rate"), 10**12),
    "unknown emotion": (("class_names",), ["happy", "<script>"]),
}
"""Kind -> the keys that lead to an entry of the metadata, and what is put there."""


def _descriptions() -> list[Attack]:
    def write(path: Path, canary: Path, *, keys: tuple[str, ...], value: object) -> None:
        content = good_content()
        group = content["ser"]
        for key in keys[:-1]:
            group = group[key]
        group[keys[-1]] = value
        torch.save(content, path)

    return [
        _attack(kind, partial(write, keys=keys, value=value)) for kind, (keys, value) in METADATA_ATTACKS.items()
    ] + _weights()


def _weights() -> list[Attack]:
    def repeated(path: Path, canary: Path) -> None:
        content = good_content()
        content["ser"]["network"]["lstm_hidden"] = 8_000
        recogniser = _described(content)
        content["state_dict"] = {
            PREFIX + name: torch.zeros((), dtype=value.dtype).expand(value.shape)
            for name, value in recogniser.state_dict().items()
        }
        torch.save(content, path)

    def not_finite(path: Path, canary: Path) -> None:
        content = good_content()
        next(value for value in content["state_dict"].values() if value.is_floating_point()).fill_(float("nan"))
        torch.save(content, path)

    def of_other_shapes(path: Path, canary: Path) -> None:
        content = good_content()
        content["state_dict"] = {name: value.flatten()[:1] for name, value in content["state_dict"].items()}
        torch.save(content, path)

    def hyper_parameters(path: Path, canary: Path) -> None:
        given = {"_instantiator": "os.mkdir", "_class_path": "os.mkdir", "path": str(canary)}
        torch.save(good_content() | {"hyper_parameters": given}, path)

    return [
        _attack("one number that claims to be 6 GB of weights", repeated),
        _attack("weights that are not numbers", not_finite),
        _attack("weights of other shapes", of_other_shapes),
        _attack("_instantiator in the hyper-parameters", hyper_parameters),
    ]


def _described(content: Content) -> nn.Module:
    from ser.inference.checkpoint import fresh_recogniser
    from ser.models.metadata import read_metadata

    with torch.device("meta"):
        return fresh_recogniser(read_metadata(content["ser"], Path(FILE)))


def checkpoint_attacks() -> list[Attack]:
    """Return all attacks by a checkpoint."""
    return [*_payloads(), *_foreign(), *_descriptions()]
