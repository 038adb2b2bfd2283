"""A model as ONNX, with the normalisation and the softmax inside, for prediction without PyTorch."""

import importlib
import io
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ser.data.files import write_bytes_atomically
from ser.errors import CheckpointError, SettingsError, missing_package
from ser.features.settings import FeatureSettings
from ser.inference.checkpoint import Networks, load_recogniser
from ser.inference.metadata_file import ONNX, write_metadata
from ser.inference.onnx_backend import (
    ATTENTION,
    CONTEXT,
    FEATURES,
    LENGTHS,
    PROBABILITIES,
    SUMMARY,
    OnnxScorer,
)
from ser.inference.run_folder import CHECKPOINTS, find_checkpoint
from ser.inference.torch_backend import TorchScorer
from ser.models.context import context_of, no_context
from ser.models.metadata import FeatureGroups, ModelMetadata
from ser.models.normalisation import frame_mask
from ser.models.recogniser import Recogniser

LARGEST_DIFFERENCE = 1e-4
"""Between the outputs of the two runtimes, in probability: rounding stays far below it, a wrong graph does not."""


class _WithSoftmax(nn.Module):
    def __init__(self, recogniser: Recogniser, *, temperature: float) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.temperature = temperature

    def forward(self, features: Tensor, lengths: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        if context is not None:
            logits, attention, summary = self.recogniser.with_summary(features, lengths, context)
            # A graph of fixed shape, which its reader compares with the metadata.
            summary = summary.reshape(-1, self.recogniser.n_summary)
            return torch.softmax(logits / self.temperature, dim=1), attention, summary
        logits, attention = self.recogniser(features, lengths)
        # The exporter leaves out an input that changes nothing, and the baseline network does not use the lengths.
        return torch.softmax(logits / self.temperature, dim=1), attention + 0.0 * lengths.unsqueeze(1)


def export_onnx(
    checkpoint: Path,
    output: Path | None = None,
    *,
    networks: Networks | None = None,
    feature_groups: FeatureGroups | None = None,
) -> Path:
    """Write the model of a checkpoint as ONNX and its metadata as JSON; return the path of the .onnx file.

    The graph maps `features` float32 [batch, features, max_length], not normalised, and `lengths` int64 [batch], frames
    before the padding, to `probabilities` float32 [batch, classes] and `attention` float32 [batch, weights]; the batch
    is of any size. Of a model that takes speaker context (`ser.models.context`) it has another input, `context` float32
    [batch, 1 + 2 * n_summary], and another output, `summary` float32 [batch, n_summary]. Nothing is written unless the
    graph's outputs are those of PyTorch.

    Parameters
    ----------
    checkpoint : a checkpoint, or the folder of a run.
    output : the .onnx file; None: `model.onnx` in the folder of the run, or beside a checkpoint that is in none.
    networks, feature_groups : those of one's own that the model was trained with, by name.

    Raises
    ------
    CheckpointError, SettingsError : as `load_recogniser` and `onnx_model`.
    OSError : a file cannot be written.
    """
    source = find_checkpoint(checkpoint)
    recogniser, metadata = load_recogniser(source, networks=networks, feature_groups=feature_groups)
    folder = source.parent.parent if source.parent.name == CHECKPOINTS else source.parent
    output = output or folder / f"model{ONNX}"
    model = onnx_model(recogniser, metadata, source)
    write_bytes_atomically(output, model)
    write_metadata(output, model, metadata)
    return output


def onnx_model(recogniser: Recogniser, metadata: ModelMetadata, source: Path) -> bytes:
    """Return the content of an .onnx file of the recogniser; see `export_onnx`.

    Parameters
    ----------
    source : where the recogniser comes from, for messages.

    Raises
    ------
    CheckpointError : the graph's outputs differ from PyTorch's.
    SettingsError : onnx is not installed, or the model has an encoder.
    """
    if metadata.encoder is not None:
        raise SettingsError(
            f"{source} was trained on the encoder {metadata.encoder.name}, and such a model cannot be written as ONNX; "
            "use its checkpoint."
        )
    try:
        importlib.import_module("onnx")  # which torch needs for it
    except ImportError as error:
        raise SettingsError(f"{missing_package(error, 'format=onnx')}.") from error
    settings, n_summary = metadata.features, recogniser.n_summary
    example: tuple[Tensor, ...]
    example = torch.zeros(1, settings.n_features, settings.max_length), torch.tensor([settings.max_length])
    inputs_of, outputs_of = [FEATURES, LENGTHS], [PROBABILITIES, ATTENTION]
    if n_summary:
        example = (*example, no_context(1, n_summary))
        inputs_of, outputs_of = [*inputs_of, CONTEXT], [*outputs_of, SUMMARY]
    graph = io.BytesIO()
    with warnings.catch_warnings():
        # It warns that it is the older exporter, and that what it traced may not hold for other batches. The newer one
        # unrolls an LSTM into its time steps, which takes minutes; and another batch is compared below.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _WithSoftmax(recogniser, temperature=metadata.temperature).eval(),
            example,
            graph,  # type: ignore[arg-type]  # the older exporter takes a buffer too
            dynamo=False,
            opset_version=17,
            input_names=inputs_of,
            output_names=outputs_of,
            dynamic_axes={name: {0: "batch"} for name in (*inputs_of, *outputs_of)},
        )
    model = graph.getvalue()
    features, lengths = _check_inputs(recogniser, settings)
    scorer = TorchScorer(recogniser, temperature=metadata.temperature)
    context = _check_context(scorer(features, lengths).summary)
    outputs = zip(scorer(features, lengths, context), OnnxScorer(model)(features, lengths, context), strict=True)
    difference = max(_difference(theirs, ours) for theirs, ours in outputs)
    if not difference <= LARGEST_DIFFERENCE:
        fault = f"the ONNX graph's output differs from PyTorch's by {difference:.1e}"
        raise CheckpointError(f"{source} cannot be exported: {fault}.")
    return model


def _difference(theirs: NDArray[np.float32], ours: NDArray[np.float32]) -> float:
    """Return the largest difference, as a fraction of the larger of 1 and the value: summaries are in decibels."""
    return float((np.abs(theirs - ours) / np.maximum(1, np.abs(theirs))).max(initial=0.0))


def _check_context(summaries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return contexts of no recording, of one, and of several."""
    members = torch.ones(len(summaries), len(summaries)).tril(-1).bool()
    return context_of(torch.from_numpy(summaries), members).numpy()


def _check_inputs(recogniser: Recogniser, settings: FeatureSettings) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return inputs near the training data, in another batch than was traced: of full length, padded, of one frame."""
    n_frames = settings.max_length
    lengths = torch.tensor([n_frames, n_frames, n_frames // 2, n_frames // 2, 1])
    normalised = torch.randn(5, settings.n_features, n_frames, generator=torch.Generator().manual_seed(0))
    normalisation, n_rows = recogniser.normalisation, len(recogniser.normalisation.mean)
    bands = normalisation.mean + normalisation.scale * normalised[:, :n_rows]
    if recogniser.n_summary:  # which normalises by itself
        bands = 15.0 * bands - 40.0
    pitch = normalised[:, n_rows:].sigmoid() + torch.tensor([7.0, 0.0])[: settings.n_features - n_rows, None]  # voicing
    features = torch.cat([bands, pitch], dim=1)
    mask = frame_mask(lengths, n_frames)
    mask[3] = True  # what a graph that guesses the padding from zeros takes for sound
    return (features * mask.unsqueeze(1)).numpy(), lengths.numpy()
