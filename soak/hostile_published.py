"""Published models of strangers: a .safetensors file and its JSON, with a digest that fits; names that are paths."""

import json
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from ser.errors import CheckpointError
from ser.inference.metadata_file import DIGEST, METADATA, digest_of
from ser.inference.predictor import Predictor
from ser.inference.pretrained import DEFAULT_MODEL, MAX_BYTES, MODELS
from soak.attacks import Attack
from soak.hostile_checkpoints import METADATA_ATTACKS, Payload

FILE = "stranger.safetensors"
_IN_JSON = (
    "_target_ in the metadata",
    "_target_ in the network",
    "_target_ in a value of the network",
    "_target_ in the features",
    "_instantiator in the metadata",
    "architecture that is a function",
    "unknown format",
    "whole number of 400 digits",
    "NaN as the temperature",
    "network of 10^30 units",
    "network of 2^62 units",
    "lists in lists",
    "text of a million letters",
    "text that cannot be written",
    "10^12 frames",
    "transform of 2^40 samples",
    "10^9 octaves",
)


def _files() -> tuple[bytes, dict[str, Any]]:
    path = MODELS / f"{DEFAULT_MODEL}.safetensors"
    return path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def _write(folder: Path, weights: bytes, metadata: dict[str, Any]) -> None:
    """Write both files, with a digest that vouches for whatever the weights are."""
    (folder / FILE).write_bytes(weights)
    text = json.dumps({DIGEST: digest_of(weights), METADATA: metadata})
    (folder / FILE).with_suffix(".json").write_text(text, encoding="utf-8")


def _attack(kind: str, write: Callable[[Path, Path], object], *, load: str = FILE) -> Attack:
    def attempt(folder: Path, canary: Path) -> object:
        write(folder, canary)
        return Predictor.load(folder / load)

    return Attack(kind=kind, door="published model", refused_by=CheckpointError, attempt=attempt)


def _descriptions() -> list[Attack]:
    def write(folder: Path, canary: Path, *, keys: tuple[str, ...], value: object) -> None:
        weights, content = _files()
        group = content[METADATA]
        for key in keys[:-1]:
            group = group[key]
        group[keys[-1]] = value
        _write(folder, weights, content[METADATA])

    return [
        _attack(kind, partial(write, keys=METADATA_ATTACKS[kind][0], value=METADATA_ATTACKS[kind][1]))
        for kind in _IN_JSON
    ]


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


def _jsons() -> list[Attack]:
    def write(folder: Path, canary: Path, *, content: bytes) -> None:
        (folder / FILE).write_bytes(_files()[0])
        (folder / FILE).with_suffix(".json").write_bytes(content)

    return [_attack(kind, partial(write, content=content)) for kind, content in JSONS.items()]


def _headed(header: object, data: bytes = bytes(64), *, claimed: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + data


def _tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


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
    "tensors over one another": _headed(_tensor([16], [0, 64]) | {"b": _tensor([16], [0, 64])["weight"]}),
    "tensor of a hostile name": _headed({"../../canary": _tensor([16], [0, 64])["weight"]}),
    "words": b"words, and no weights",
    "nothing": b"",
}


def _weights() -> list[Attack]:
    def write(folder: Path, canary: Path, *, content: bytes) -> None:
        _write(folder, content, _files()[1][METADATA])

    def changed(folder: Path, canary: Path, *, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        content, described = _files()
        weights = load(content)
        name = max(weights, key=lambda name: weights[name].numel())
        _write(folder, save(weights | {name: change(weights[name]).contiguous()}), described[METADATA])

    def pickled(folder: Path, canary: Path) -> None:
        torch.save(Payload(exec, f"import os; os.mkdir({str(canary)!r})"), folder / FILE)
        _write(folder, (folder / FILE).read_bytes(), _files()[1][METADATA])

    def too_large(folder: Path, canary: Path) -> None:
        _write(folder, *_files_of_description())
        with (folder / FILE).open("rb+") as file:
            file.truncate(MAX_BYTES + 1)

    def of_another(folder: Path, canary: Path) -> None:
        _write(folder, *_files_of_description())
        content = bytearray((folder / FILE).read_bytes())
        content[-1] ^= 1
        (folder / FILE).write_bytes(content)

    return [
        *(_attack(kind, partial(write, content=content)) for kind, content in WEIGHTS.items()),
        _attack("weights of another type", partial(changed, change=lambda tensor: tensor.double())),
        _attack("weights of another shape", partial(changed, change=lambda tensor: tensor.flatten())),
        _attack("weights that are not numbers", partial(changed, change=lambda tensor: tensor * float("nan"))),
        _attack("pickle under the name of .safetensors", pickled),
        _attack("weights of 64 MiB and a byte", too_large),
        _attack("wrong checksum", of_another),
        _attack("weights without a metadata", lambda folder, canary: (folder / FILE).write_bytes(_files()[0])),
    ]


def _files_of_description() -> tuple[bytes, dict[str, Any]]:
    weights, content = _files()
    return weights, content[METADATA]


def _graphs() -> list[Attack]:
    def write(folder: Path, canary: Path, *, content: bytes) -> None:
        _write(folder, content, _files()[1][METADATA])
        (folder / "stranger.onnx").write_bytes(content)

    def of_other_classes(folder: Path, canary: Path) -> None:
        content = (MODELS / f"{DEFAULT_MODEL}.onnx").read_bytes()
        _write(folder, content, _files()[1][METADATA] | {"class_names": ["sad", "happy"]})
        (folder / "stranger.onnx").write_bytes(content)

    graph = (MODELS / f"{DEFAULT_MODEL}.onnx").read_bytes()
    return [
        _attack("ONNX of words", partial(write, content=b"words"), load="stranger.onnx"),
        _attack("ONNX cut short", partial(write, content=graph[: len(graph) // 2]), load="stranger.onnx"),
        _attack("ONNX with other classes", of_other_classes, load="stranger.onnx"),
    ]


NAMES = (
    "../../etc/passwd",
    "..",
    "/etc",
    "models/../ser-ravdess",
    "ser-ravdess.json",
    "a\0b",
    "\0.ckpt",
    "x" * 10_000,
    "~",
)


def _names() -> list[Attack]:
    def attempt(folder: Path, canary: Path, *, name: str) -> object:
        return Predictor.load(name)

    return [
        Attack(
            kind=f"the name {name[:30]!r}",
            door="published model",
            refused_by=CheckpointError,
            attempt=partial(attempt, name=name),
        )
        for name in NAMES
    ]


def published_attacks() -> list[Attack]:
    """Return all attacks by a published model or its name."""
    return [*_descriptions(), *_jsons(), *_weights(), *_graphs(), *_names()]
