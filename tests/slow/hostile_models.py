"""Models of strangers: code in pickles of every form, foreign and damaged files, metadata that lies, names as paths."""

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
from collections.abc import Callable
from functools import cache, reduce
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from ser.errors import CheckpointError
from ser.inference.checkpoint import PREFIX, describe, fresh_recogniser
from ser.inference.metadata_file import DIGEST, METADATA, digest_of
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MAX_BYTES, MODELS, load_pretrained
from ser.models.metadata import read_metadata
from tests.slow.attacks import Attack, attacks_by

Content, Files = dict[str, Any], dict[str, bytes]
CKPT, SAFETENSORS, ONNX = "stranger.ckpt", "stranger.safetensors", "stranger.onnx"


@cache
def _good() -> Content:
    recogniser, metadata = load_pretrained(MODELS / f"{DEFAULT_MODEL}.safetensors")
    state = {PREFIX + name: value for name, value in recogniser.state_dict().items()}
    return {"state_dict": state, "ser": describe(metadata)}


def good_content() -> Content:
    """Return the content of a checkpoint that is accepted, to be spoilt."""
    return copy.deepcopy(_good())


def saved(content: object, **options: Any) -> bytes:
    return _written(lambda file: torch.save(content, file, **options))


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _put(content: Content, keys: tuple[str, ...], value: object) -> Content:
    reduce(operator.getitem, keys[:-1], content)[keys[-1]] = value
    return content


def _flipped(content: bytes, place: int) -> bytes:
    damaged = bytearray(content)
    damaged[place] ^= 1
    return bytes(damaged)


# Checkpoints


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
    short = [b"\x8c" + bytes([len(text)]) + text for text in (b"torch.serialization", b"os.mkdir")]
    text = canary.encode()
    return b"\x80\x04" + b"".join(short) + b"\x93X" + len(text).to_bytes(4, "little") + text + b"\x85R."


def _zipped_anew(data: bytes = b"", *, beside: bool = False, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a checkpoint in whose archive the pickle is another one, or has another of its name beside it."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(good_content()))) as archive, zipfile.ZipFile(file, "w", method) as forged:
        for member in archive.infolist():
            is_forged = bool(data) and member.filename.endswith("data.pkl")
            with warnings.catch_warnings(action="ignore"):  # zipfile's own, of the doubled name
                for content in [archive.read(member)] * (beside or not is_forged) + [data] * is_forged:
                    forged.writestr(member.filename, content)
    return file.getvalue()


def _module_with_payload(canary: str) -> nn.Module:
    module = nn.Linear(2, 2)
    module.__dict__["payload"] = PAYLOADS["os.mkdir"](canary)
    return module


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
        "payload in torch's old format": lambda c: saved(
            good_content() | {"more": mkdir(c)}, _use_new_zipfile_serialization=False
        ),
        "payload in a plain pickle": lambda c: pickle.dumps(mkdir(c)),
        "payload in a numpy array of objects": lambda c: saved(
            _put(good_content(), ("ser", "temperature"), np.array([mkdir(c)], dtype=object))
        ),
        "payload in a pickled module": lambda c: saved(_module_with_payload(c)),
        "dotted name through torch.serialization": lambda c: _zipped_anew(_dotted_pickle(c)),
    }


def _nested(depth: int, width: int = 1) -> object:
    """Return lists in lists: with a width of 10 a few hundred bytes in a pickle, 10^depth words when written out."""
    return reduce(lambda value, _: [value] * width, range(depth), "word")


CYCLIC: list[object] = []
CYCLIC.append(CYCLIC)
IN_JSON: dict[str, tuple[tuple[str, ...], Any]] = {
    "_target_ in the metadata": (("_target_",), "os.system"),
    "_target_ in the network": (("network", "_target_"), "os.system"),
    "_target_ in a value of the network": (("network", "lstm_hidden"), {"_target_": "os.getcwd"}),
    "_target_ in the features": (("features", "_target_"), "os.system"),
    "_instantiator in the metadata": (("_instantiator",), "os.system"),
    "architecture that is a function": (("architecture",), "os.system"),
    "unknown format": (("format",), 99),
    "whole number of 400 digits": (("temperature",), 10**400),
    "NaN as the temperature": (("temperature",), float("nan")),
    "network of 10^30 units": (("network", "lstm_hidden"), 10**30),
    "network of 2^62 units": (("network", "lstm_hidden"), 2**62),
    "lists in lists": (("protocol",), _nested(150)),
    "text of a million letters": (("protocol",), "x" * 10**6),
    "text that cannot be written": (("protocol",), "\ud800"),
    "10^12 frames": (("features", "max_length"), 10**12),
    "transform of 2^40 samples": (("features", "n_fft"), 2**40),
    "10^9 octaves": (("features", "n_bands"), 10**9),
}
"""Kind -> the keys that lead to an entry of the metadata, and what is put there; of checkpoints and of JSON."""

IN_CHECKPOINTS: dict[str, tuple[tuple[str, ...], Any]] = IN_JSON | {
    "architecture that is a path": (("architecture",), "../../os"),
    "path of a module in the network": (("network", "conv"), "torch.nn.Conv1d"),
    "tensor as the format": (("format",), torch.zeros(3)),
    "network of 6 GB": (("network", "lstm_hidden"), 8_000),
    "lists that fill the memory": (("protocol",), _nested(12, 10)),
    "the same in the configuration": (("configuration",), {"a": _nested(12, 10)}),
    "list that holds itself": (("class_names",), CYCLIC),
    "key of a million letters": (("x" * 10**6,), 1),
    "rate of 10^12 Hz": (("features", "sample_rate"), 10**12),
    "unknown emotion": (("class_names",), ["happy", "<script>"]),
}


def _tar(canary: str) -> bytes:
    link = tarfile.TarInfo("storages")
    link.type, link.linkname = tarfile.LNKTYPE, canary
    return link.tobuf() + bytes(2 * tarfile.BLOCKSIZE)


def _one_number_as_6_gb() -> bytes:
    content = _put(good_content(), ("ser", "network", "lstm_hidden"), 8_000)
    with torch.device("meta"):
        shapes = fresh_recogniser(read_metadata(content["ser"], Path(CKPT))).state_dict()
    zeros = {PREFIX + name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in shapes.items()}
    return saved(content | {"state_dict": zeros})


def _with_weights(change: Callable[[torch.Tensor], torch.Tensor]) -> bytes:
    state = good_content()["state_dict"]
    weights = {name: change(value) if value.is_floating_point() else value for name, value in state.items()}
    return saved(good_content() | {"state_dict": weights})


def _refused() -> dict[str, Callable[[str], bytes]]:
    """Kind -> the file, given the path of the canary."""
    kinds = {
        kind: lambda c, keys=keys, value=value: saved(_put(good_content(), ("ser", *keys), value))
        for kind, (keys, value) in IN_CHECKPOINTS.items()
    }
    given = {"_instantiator": "os.mkdir", "_class_path": "os.mkdir"}
    return kinds | {
        "pickle of protocol 0": lambda c: _zipped_anew(b"(S'" + c.encode() + b"'\nios\nmkdir\n."),
        "second pickle of the same name": lambda c: _zipped_anew(_dotted_pickle(c), beside=True),
        "pickled module": lambda c: saved(nn.LSTM(2, 2)),
        "TorchScript": lambda c: _written(lambda file: torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file)),
        "another project's": lambda c: saved({"state_dict": {}, "epoch": 3}),
        "compressed archive, a bomb": lambda c: _zipped_anew(method=zipfile.ZIP_DEFLATED),
        "flipped bit": lambda c: _flipped(saved(good_content()), len(saved(good_content())) // 2),
        "tar with a hard link": _tar,
        "words": lambda c: b"These are words.\n" * 99,
        "nothing": lambda c: b"",
        "zip without members": lambda c: b"PK\x05\x06" + bytes(18),
        "one number that claims to be 6 GB of weights": lambda c: _one_number_as_6_gb(),
        "weights that are not numbers": lambda c: _with_weights(lambda tensor: tensor * float("nan")),
        "weights of other shapes": lambda c: _with_weights(lambda tensor: tensor.flatten()[:1]),
        "_instantiator in the hyper-parameters": lambda c: saved(
            good_content() | {"hyper_parameters": given | {"path": c}}
        ),
    }


def _load_carelessly(folder: Path) -> object:
    content = (folder / CKPT).read_bytes()
    try:
        return torch.load(io.BytesIO(content), weights_only=False)
    except RuntimeError:
        return pickle.loads(content)  # noqa: S301 - to show that the payload is a live one


# Pretrained models: a .safetensors file and its JSON, with a digest that fits


@cache
def _files() -> tuple[bytes, str]:
    path = MODELS / f"{DEFAULT_MODEL}.safetensors"
    return path.read_bytes(), path.with_suffix(".json").read_text(encoding="utf-8")


def _metadata() -> Content:
    return json.loads(_files()[1])[METADATA]


def _vouched(weights: bytes, metadata: Content | None = None) -> Files:
    """Return both files, with a digest that vouches for whatever the weights are."""
    text = json.dumps({DIGEST: digest_of(weights), METADATA: metadata or _metadata()})
    return {SAFETENSORS: weights, "stranger.json": text.encode()}


def _changed(change: Callable[[torch.Tensor], torch.Tensor]) -> Files:
    weights = safetensors.torch.load(_files()[0])
    name = max(weights, key=lambda name: weights[name].numel())
    return _vouched(safetensors.torch.save(weights | {name: change(weights[name]).contiguous()}))


def _headed(header: object, *, claimed: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + bytes(64)


def _tensor(shape: list[int], offsets: list[int], dtype: str = "F32", name: str = "weight") -> Content:
    return {name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


JSONS: dict[str, bytes] = {
    "JSON of a hundred thousand brackets": b"[" * 100_000,
    "JSON of nine hundred brackets": b'{"metadata": ' + b"[" * 900 + b"]" * 900 + b"}",
    "JSON with a number of 5,000 digits": b'{"metadata": {"format": ' + b"9" * 5_000 + b"}}",
    "JSON that is a list": b"[1, 2]",
    "JSON that is not UTF-8": b"\xff\xfe{}",
    "JSON of 2 MiB": b'{"metadata": {}, "more": "' + b"x" * 2**21 + b'"}',
    "JSON that is YAML with a tag": b"!!python/object/apply:os.mkdir [x]",
    "JSON cut short": b'{"sha256": "00", "descri',
}
WEIGHTS: dict[str, bytes] = {
    "header of 2^63 bytes": _headed(b"{}", claimed=2**63),
    "header of 200 MB": _headed(b"{}", claimed=200_000_000),
    "header that is no JSON": _headed(b"{{{{"),
    "header of brackets": _headed(b"[" * 100_000),
    "tensor of 2^80 numbers": _headed(_tensor([2**40, 2**40], [0, 64])),
    "tensor of negative size": _headed(_tensor([-1, -16], [0, 64])),
    "tensor beyond the end": _headed(_tensor([2**20], [0, 2**22])),
    "tensor that ends before it begins": _headed(_tensor([16], [64, 0])),
    "tensor of Python objects": _headed(_tensor([16], [0, 64], "object")),
    "tensors over one another": _headed(_tensor([16], [0, 64]) | _tensor([16], [0, 64], name="b")),
    "tensor of a hostile name": _headed(_tensor([16], [0, 64], name="../../canary")),
    "words": b"words, and no weights",
    "nothing": b"",
}
NAMES = (
    "../../etc/passwd", "..", "/etc", "models/../ser-ravdess", "ser-ravdess.json", "a\0b", "\0.ckpt", "x" * 10_000, "~",
)  # fmt: skip


def _strangers_files() -> dict[str, Callable[[str], Files]]:
    """Kind -> name and content of the files, given the path of the canary; the first is what is loaded."""
    good = _files()[0]
    kinds = {
        kind: lambda c, keys=keys, value=value: _vouched(good, _put(_metadata(), keys, value))
        for kind, (keys, value) in IN_JSON.items()
    }
    kinds |= {kind: lambda c, text=text: {SAFETENSORS: good, "stranger.json": text} for kind, text in JSONS.items()}
    kinds |= {kind: lambda c, weights=weights: _vouched(weights) for kind, weights in WEIGHTS.items()}
    graph = (MODELS / f"{DEFAULT_MODEL}.onnx").read_bytes()
    return kinds | {
        "weights of another type": lambda c: _changed(lambda tensor: tensor.double()),
        "weights of another shape": lambda c: _changed(lambda tensor: tensor.flatten()),
        "weights that are not numbers": lambda c: _changed(lambda tensor: tensor * float("nan")),
        "pickle under the name of .safetensors": lambda c: _vouched(saved(PAYLOADS["exec of source"](c))),
        "weights of 64 MiB and a byte": lambda c: _vouched(good.ljust(MAX_BYTES + 1, b"\0")),
        "wrong checksum": lambda c: _vouched(good) | {SAFETENSORS: _flipped(good, -1)},
        "weights without a metadata": lambda c: {SAFETENSORS: good},
        "ONNX of words": lambda c: {ONNX: b"words"} | _vouched(good),
        "ONNX cut short": lambda c: {ONNX: graph[: len(graph) // 2]} | _vouched(good),
        "ONNX with other classes": lambda c: (
            {ONNX: graph} | _vouched(good, _metadata() | {"class_names": ["sad", "happy"]})
        ),
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
        *attacks_by("name", CheckpointError, {n[:30]: n for n in NAMES}, lambda *given: Predictor.load(given[-1])),
    ]
