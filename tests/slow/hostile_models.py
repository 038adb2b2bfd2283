"""Models of strangers: code in pickles of every form, foreign and damaged files, metadata that lies, names as paths.

What is refused for one reason alone (damage, sizes, tensors that do not fit) is in tests/inference/test_checkpoint.py
and test_pretrained.py.
"""

import copy
import io
import json
import operator
import os
import pickle
import struct
import subprocess
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from functools import cache, reduce
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from ser.errors import CheckpointError
from ser.features.validation import as_plain
from ser.inference.checkpoint import PREFIX
from ser.inference.metadata_file import DIGEST, METADATA, digest_of
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MODELS, load_pretrained
from tests.slow.attacks import Attack, attacks_by
from tests.slow.hostile_archives import tar_of_link

Content, Files = dict[str, Any], dict[str, bytes]
CKPT, SAFETENSORS, ONNX = "stranger.ckpt", "stranger.safetensors", "stranger.onnx"


@cache
def _good() -> Content:
    recogniser, metadata = load_pretrained(MODELS / f"{DEFAULT_MODEL}.safetensors")
    state = {PREFIX + name: value for name, value in recogniser.state_dict().items()}
    return {"state_dict": state, "ser": as_plain(metadata)}


def good_content() -> Content:
    """Return the content of a checkpoint that is accepted, to be spoilt."""
    return copy.deepcopy(_good())


def saved(content: object, **options: Any) -> bytes:
    return _written(lambda file: torch.save(content, file, **options))


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _put(content: Any, keys: tuple[str, ...], value: object) -> Any:
    """Return a mapping or a module with an entry changed, in place."""
    group = vars(content) if isinstance(content, nn.Module) else content
    reduce(operator.getitem, keys[:-1], group)[keys[-1]] = value
    return content


class Payload:
    """An object that a pickle makes by calling `function`: code that runs when that is read."""

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
    short = [b"\x8c" + bytes([len(text)]) + text for text in (b"torch.serialization", b"os.mkdir")]
    text = canary.encode()
    return b"\x80\x04" + b"".join(short) + b"\x93X" + len(text).to_bytes(4, "little") + text + b"\x85R."


def _zipped_anew(data: bytes, *, beside: bool = False) -> bytes:
    """Return a checkpoint in whose archive the pickle is another one, or has another of its name beside it."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(good_content()))) as archive, zipfile.ZipFile(file, "w") as forged:
        for member in archive.infolist():
            is_pickle = member.filename.endswith("data.pkl")
            with warnings.catch_warnings(action="ignore"):  # zipfile's own, of the doubled name
                for content in [archive.read(member)] * (beside or not is_pickle) + [data] * is_pickle:
                    forged.writestr(member.filename, content)
    return file.getvalue()


def _live() -> dict[str, Callable[[str], bytes]]:
    """Kind -> the file, given the path of the canary, that a careless program would run."""
    mkdir = PAYLOADS["os.mkdir"]
    places = {"weights": ("state_dict", next(iter(_good()["state_dict"]))), "metadata": ("ser", "protocol")}
    places |= {name: (name,) for name in ("optimizer_states", "callbacks", "loops", "hyper_parameters")}
    kinds = {f"pickle that is {name}": lambda c, make=make: saved(make(c)) for name, make in PAYLOADS.items()}
    kinds |= {
        f"payload in the {name}": lambda c, keys=keys: saved(_put(good_content(), keys, mkdir(c)))
        for name, keys in places.items()
    }
    return kinds | {
        "payload in a numpy array of objects": lambda c: saved(
            _put(good_content(), ("ser", "temperature"), np.array([mkdir(c)], dtype=object))
        ),
        "payload in a pickled module": lambda c: saved(_put(nn.Linear(2, 2), ("payload",), mkdir(c))),
        "dotted name through torch.serialization": lambda c: _zipped_anew(_dotted_pickle(c)),
    }


def _nested(depth: int, width: int = 1) -> object:
    """Return lists in lists: with a width of 10 a few hundred bytes in a pickle, 10^depth words when written out."""
    return reduce(lambda value, _: [value] * width, range(depth), "word")


CYCLIC: list[object] = []
CYCLIC.append(CYCLIC)
IN_JSON: dict[str, Sequence[Any]] = {
    "_target_": ["os.system"], "network._target_": ["os.system"], "features._target_": ["os.system"],
    "_instantiator": ["os.system"], "architecture": ["os.system"], "format": [99],
    "temperature": [10**400, float("nan")], "network.lstm_hidden": [10**30, 2**62, {"_target_": "os.getcwd"}],
    "protocol": [_nested(150), "x" * 10**6, "\ud800"], "features.max_length": [10**12], "features.n_fft": [2**40],
    "features.n_bands": [10**9],
}  # fmt: skip
"""Keys that lead to an entry of the metadata -> what is put there; in checkpoints and in JSON."""
IN_CHECKPOINTS: dict[str, Sequence[Any]] = {
    "architecture": ["../../os"], "network.conv": ["torch.nn.Conv1d"], "format": [torch.zeros(3)],
    "network.lstm_hidden": [8_000], "features.sample_rate": [10**12], "x" * 10**6: [1],
    "protocol": [_nested(12, 10)], "configuration": [{"a": _nested(12, 10)}],  # fill the memory when written out
    "class_names": [CYCLIC, ["happy", "<script>"]],
}  # fmt: skip
"""The same in checkpoints alone."""


def _spoilt(tables: Sequence[dict[str, Sequence[Any]]], make) -> dict[str, Callable[[str], Any]]:
    """Kind -> what `make` makes of keys and value, for each value of the tables."""
    entries = [(keys, value) for table in tables for keys, values in table.items() for value in values]
    return {
        f"{keys[:30]} {number}": lambda c, keys=keys, value=value: make(tuple(keys.split(".")), value)
        for number, (keys, value) in enumerate(entries)
    }


def _refused() -> dict[str, Callable[[str], bytes]]:
    """Kind -> the file, given the path of the canary."""
    kinds = _spoilt([IN_JSON, IN_CHECKPOINTS], lambda keys, value: saved(_put(good_content(), ("ser", *keys), value)))
    return kinds | {
        "pickle of protocol 0": lambda c: _zipped_anew(b"(S'" + c.encode() + b"'\nios\nmkdir\n."),
        "second pickle of the same name": lambda c: _zipped_anew(_dotted_pickle(c), beside=True),
        "TorchScript": lambda c: _written(lambda file: torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file)),
        "another project's": lambda c: saved({"state_dict": {}, "epoch": 3}),
        "tar with a hard link": lambda c: tar_of_link("storages", tarfile.LNKTYPE, c),
    }


def _load_carelessly(folder: Path) -> object:
    content = (folder / CKPT).read_bytes()
    try:
        return torch.load(io.BytesIO(content), weights_only=False)
    except RuntimeError:
        return pickle.loads(content)  # noqa: S301 - to show that the payload is a live one


def _metadata() -> Content:
    """Return the metadata of a pretrained model, to be spoilt."""
    return json.loads((MODELS / f"{DEFAULT_MODEL}.json").read_bytes())[METADATA]


def _vouched(weights: bytes, metadata: Content | None = None) -> Files:
    """Return both files, with a digest that vouches for whatever the weights are."""
    text = json.dumps({DIGEST: digest_of(weights), METADATA: metadata or _metadata()})
    return {SAFETENSORS: weights, "stranger.json": text.encode()}


def _headed(header: object, *, claimed: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + bytes(64)


def _tensor(shape: list[int], offsets: list[int], dtype: str = "F32", name: str = "weight") -> Content:
    return {name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


JSONS = (
    b"[" * 100_000, b'{"metadata": ' + b"[" * 900 + b"]" * 900 + b"}", b"[1, 2]", b"\xff\xfe{}",
    b'{"metadata": {"format": ' + b"9" * 5_000 + b"}}", b'{"metadata": {}, "more": "' + b"x" * 2**21 + b'"}',
    b"!!python/object/apply:os.mkdir [x]", b'{"sha256": "00", "descri',
)  # fmt: skip
"""What lies in the place of the JSON."""
WEIGHTS = (
    _headed(b"{}", claimed=2**63), _headed(b"{}", claimed=200_000_000), _headed(b"{{{{"), _headed(b"[" * 100_000),
    _headed(_tensor([2**40, 2**40], [0, 64])), _headed(_tensor([-1, -16], [0, 64])),
    _headed(_tensor([2**20], [0, 2**22])), _headed(_tensor([16], [64, 0])), _headed(_tensor([16], [0, 64], "object")),
    _headed(_tensor([16], [0, 64]) | _tensor([16], [0, 64], name="b")),  # one over the other
    _headed(_tensor([16], [0, 64], name="../../canary")), b"words, and no weights", b"",
)  # fmt: skip
"""What lies in the place of the weights."""
NAMES = (
    "../../etc/passwd", "..", "/etc", "models/../ser-ravdess", "ser-ravdess.json", "a\0b", "\0.ckpt", "x" * 10_000, "~",
)  # fmt: skip


def _strangers_files() -> dict[str, Callable[[str], Files]]:
    """Kind -> name and content of the files, given the path of the canary; the first is what is loaded."""
    good = (MODELS / f"{DEFAULT_MODEL}.safetensors").read_bytes()
    kinds = _spoilt([IN_JSON], lambda keys, value: _vouched(good, _put(_metadata(), keys, value)))
    kinds |= {f"JSON {n}": lambda c, n=n: {SAFETENSORS: good, "stranger.json": JSONS[n]} for n in range(len(JSONS))}
    kinds |= {f"header or tensor {n}": lambda c, n=n: _vouched(WEIGHTS[n]) for n in range(len(WEIGHTS))}
    no_numbers = {name: tensor * float("nan") for name, tensor in safetensors.torch.load(good).items()}
    graph = (MODELS / f"{DEFAULT_MODEL}.onnx").read_bytes()
    return kinds | {
        "weights that are not numbers": lambda c: _vouched(safetensors.torch.save(no_numbers)),
        "pickle under the name of .safetensors": lambda c: _vouched(saved(PAYLOADS["exec of source"](c))),
        "ONNX of words": lambda c: {ONNX: b"words"} | _vouched(good),
        "ONNX cut short": lambda c: {ONNX: graph[: len(graph) // 2]} | _vouched(good),
        "ONNX with other classes": lambda c: {ONNX: graph} | _vouched(good, _metadata() | {"class_names": ["a", "b"]}),
    }


def model_attacks() -> list[Attack]:
    """Return all attacks by a checkpoint, by a pretrained model, and by the name of one."""

    def load(folder: Path, files: Files) -> object:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return Predictor.load(folder / next(iter(files)))

    def checkpoint(folder: Path, canary: Path, make: Callable[[str], bytes]) -> object:
        return load(folder, {CKPT: make(str(canary))})

    def pretrained(folder: Path, canary: Path, make: Callable[[str], Files]) -> object:
        return load(folder, make(str(canary)))

    return [
        *attacks_by("checkpoint", CheckpointError, _live(), checkpoint, alive=_load_carelessly),
        *attacks_by("checkpoint", CheckpointError, _refused(), checkpoint),
        *attacks_by("pretrained", CheckpointError, _strangers_files(), pretrained),
        *attacks_by("name", CheckpointError, NAMES, lambda *given: Predictor.load(given[-1])),
    ]
