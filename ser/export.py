"""`python -m ser.export checkpoint=<run folder or file> format=onnx`: a model for prediction without PyTorch.

Writes `model.onnx`, with the standardiser and the softmax inside, and beside it `model.json`, the description. Keep
the two together; `python -m ser.predict checkpoint=<model.onnx>` reads them.
"""

import argparse
import importlib
import json
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ser.checkpoint import load_recogniser
from ser.description import Description
from ser.errors import CheckpointError, SerError, SettingsError
from ser.files import replace_when_complete, write_text_atomically
from ser.nets import Recogniser
from ser.onnx_scorer import (
    ATTENTION,
    DESCRIPTION,
    DIGEST,
    FEATURES,
    PROBABILITIES,
    SUFFIX,
    OnnxScorer,
    description_path,
    digest_of,
)
from ser.run_folder import CHECKPOINTS, find_checkpoint
from ser.settings import as_plain, read_settings, require
from ser.torch_scorer import TorchScorer

LARGEST_DIFFERENCE = 1e-4
"""Between the answers of the two runtimes, in probability: rounding stays far below it, a wrong graph does not."""
_OPSET = 17


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What the command is told: `checkpoint`, the `format` to write, and where (`output`; empty: beside the run)."""

    checkpoint: str
    format: Literal["onnx"] = "onnx"
    output: str = ""

    def __post_init__(self) -> None:
        require(
            not self.output or Path(self.output).suffix == SUFFIX,
            f"output is {self.output}, but should end in {SUFFIX}.",
        )


class _Answer(nn.Module):
    """The recogniser with its softmax."""

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self.recogniser = recogniser

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention = self.recogniser(features)
        return torch.softmax(logits, dim=1), attention


def main(arguments: Sequence[str] | None = None) -> int:
    """Export, print the path of the model; return 0, or 1 where it could not be done."""
    parser = argparse.ArgumentParser(
        prog="python -m ser.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="+", help="checkpoint=<path>, format=onnx, output=<file.onnx>")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        settings = read_settings(ExportSettings, _key_values(options.settings), where="export")
        output = export_onnx(Path(settings.checkpoint), Path(settings.output) if settings.output else None)
    except (SerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(output)
    return 0


def export_onnx(checkpoint: Path, output: Path | None = None) -> Path:
    """Write the model of a checkpoint as ONNX and its description as JSON; return the path of the .onnx file.

    The graph maps `features` float32 [batch, features, max_length], not standardised, to `probabilities` float32
    [batch, classes] and `attention` float32 [batch, weights]; the batch is of any size. Nothing is written unless the
    graph answers as PyTorch does.

    Parameters
    ----------
    checkpoint : a checkpoint, or the folder of a run.
    output : the .onnx file; None: `model.onnx` in the folder of the run, or beside a checkpoint that is in none.

    Raises
    ------
    CheckpointError : as `load_recogniser`, or the graph's answers differ from PyTorch's.
    SettingsError : onnx or onnxruntime is not installed.
    OSError : a file cannot be written.
    """
    _require_packages()
    source = find_checkpoint(checkpoint)
    recogniser, description = load_recogniser(source)
    if output is None:
        folder = source.parent
        output = (folder.parent if folder.name == CHECKPOINTS else folder) / f"model{SUFFIX}"
    with replace_when_complete(output) as partial:
        _write_graph(recogniser, description, partial)
        model = partial.read_bytes()
        _check_answers(model, recogniser, description, source)
    content = {DIGEST: digest_of(model), DESCRIPTION: public_description(description)}
    write_text_atomically(description_path(output), json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return output


def public_description(description: Description) -> dict[str, Any]:
    """Return the description as plain values, without what tells of the machine: where things lay on it."""
    values = as_plain(description)
    values["corpus_root"] = ""
    values["configuration"] = _without_paths({k: v for k, v in values["configuration"].items() if k != "paths"})
    return values


def _key_values(arguments: Sequence[str]) -> dict[str, str]:
    pairs = [argument.partition("=") for argument in arguments]
    for key, equals, _ in pairs:
        if not equals:
            raise SettingsError(f"{key!r} is not understood; give settings as checkpoint=<run folder or file>.")
    return {key: value for key, _, value in pairs}


def _require_packages() -> None:
    for package in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise SettingsError(
                f"format=onnx needs {package}, which is not installed: pip install 'ser[export]'."
            ) from error


def _write_graph(recogniser: Recogniser, description: Description, path: Path) -> None:
    names = (FEATURES, PROBABILITIES, ATTENTION)
    with warnings.catch_warnings():
        # It warns that it is the older exporter, and that what it traced may not hold for other batches. The newer one
        # unrolls an LSTM into its time steps, which takes minutes; and `_check_answers` looks at another batch.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Answer(recogniser).eval(),
            (torch.zeros(1, description.features.n_features, description.features.max_length),),
            path,
            dynamo=False,
            opset_version=_OPSET,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "batch"} for name in names},
        )


def _check_answers(model: bytes, recogniser: Recogniser, description: Description, source: Path) -> None:
    """Compare both runtimes on three made-up inputs as the network knows them, of another batch than was traced."""
    shape = (3, description.features.n_features, description.features.max_length)
    standardised = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    features = (recogniser.standardiser.mean + recogniser.standardiser.scale * standardised).numpy()
    answers = zip(TorchScorer(recogniser)(features), OnnxScorer(model)(features), strict=True)
    difference = max(float(np.abs(expected - answer).max()) for expected, answer in answers)
    if not difference <= LARGEST_DIFFERENCE:
        raise CheckpointError(
            f"{source} cannot be exported: the ONNX graph's answer differs from PyTorch's by {difference:.1e}."
        )


def _without_paths(value: Any) -> Any:
    """Return plain values with each text that is an absolute path, or one from a home folder, made empty."""
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    private = isinstance(value, str) and (
        value.startswith("~") or PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
    )
    return "" if private else value


if __name__ == "__main__":
    sys.exit(main())
