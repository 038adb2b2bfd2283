"""`python -m ser export checkpoint=<run folder or file> format=onnx`: a model for prediction without PyTorch.

Writes `model.onnx`, with the standardiser and the softmax inside, and beside it `model.json`, the metadata. Keep
the two together; `python -m ser predict checkpoint=<model.onnx>` reads them.
"""

import importlib
import io
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ser.data.files import write_bytes_atomically
from ser.errors import CheckpointError, SettingsError
from ser.inference.checkpoint import load_recogniser
from ser.inference.metadata_file import ONNX, write_metadata_of
from ser.inference.onnx_backend import ATTENTION, FEATURES, PROBABILITIES, OnnxScorer
from ser.inference.run_folder import CHECKPOINTS, find_checkpoint
from ser.inference.torch_backend import TorchScorer
from ser.models.metadata import ModelMetadata
from ser.models.recogniser import Recogniser

LARGEST_DIFFERENCE = 1e-4
"""Between the answers of the two runtimes, in probability: rounding stays far below it, a wrong graph does not."""
_OPSET = 17


class _Answer(nn.Module):
    """The recogniser with its softmax."""

    def __init__(self, recogniser: Recogniser, *, temperature: float) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.temperature = temperature

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention = self.recogniser(features)
        return torch.softmax(logits / self.temperature, dim=1), attention


def export_onnx(checkpoint: Path, output: Path | None = None) -> Path:
    """Write the model of a checkpoint as ONNX and its metadata as JSON; return the path of the .onnx file.

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
    require_packages()
    source = find_checkpoint(checkpoint)
    recogniser, metadata = load_recogniser(source)
    if output is None:
        folder = source.parent
        output = (folder.parent if folder.name == CHECKPOINTS else folder) / f"model{ONNX}"
    model = onnx_model(recogniser, metadata, source)
    write_bytes_atomically(output, model)
    write_metadata_of(output, model, metadata)
    return output


def onnx_model(recogniser: Recogniser, metadata: ModelMetadata, source: Path) -> bytes:
    """Return the content of an .onnx file that answers as the recogniser does; see `export_onnx`.

    Parameters
    ----------
    source : where the recogniser comes from, for messages.

    Raises
    ------
    CheckpointError : the graph's answers differ from PyTorch's.
    """
    model = _graph_of(recogniser, metadata)
    _check_answers(model, recogniser, metadata, source)
    return model


def require_packages() -> None:
    """Raise SettingsError where a package of the extra `export` is not installed."""
    for package in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise SettingsError(
                f"format=onnx needs {package}, which is not installed: pip install 'ser[export]'."
            ) from error


def _graph_of(recogniser: Recogniser, metadata: ModelMetadata) -> bytes:
    names = (FEATURES, PROBABILITIES, ATTENTION)
    graph = io.BytesIO()
    with warnings.catch_warnings():
        # It warns that it is the older exporter, and that what it traced may not hold for other batches. The newer one
        # unrolls an LSTM into its time steps, which takes minutes; and `_check_answers` looks at another batch.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Answer(recogniser, temperature=metadata.temperature).eval(),
            (torch.zeros(1, metadata.features.n_features, metadata.features.max_length),),
            graph,
            dynamo=False,
            opset_version=_OPSET,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "batch"} for name in names},
        )
    return graph.getvalue()


def _check_answers(model: bytes, recogniser: Recogniser, metadata: ModelMetadata, source: Path) -> None:
    """Compare both runtimes on three made-up inputs as the network knows them, of another batch than was traced."""
    shape = (3, metadata.features.n_features, metadata.features.max_length)
    standardised = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    n_rows = len(recogniser.standardiser.mean)
    own = recogniser.standardiser.mean + recogniser.standardiser.scale * standardised[:, :n_rows]
    pitch = standardised[:, n_rows:].sigmoid() + torch.tensor([7.0, 0.0])[: shape[1] - n_rows, None]  # and voicing
    features = torch.cat([own, pitch], dim=1).numpy()
    features[2, :, shape[2] // 2 :] = 0  # padding, which some networks leave out
    answers = zip(
        TorchScorer(recogniser, temperature=metadata.temperature)(features), OnnxScorer(model)(features), strict=True
    )
    difference = max(float(np.abs(expected - answer).max()) for expected, answer in answers)
    if not difference <= LARGEST_DIFFERENCE:
        raise CheckpointError(
            f"{source} cannot be exported: the ONNX graph's answer differs from PyTorch's by {difference:.1e}."
        )
