"""The model on ONNX Runtime, for machines without PyTorch; `ser.inference.export` writes the graph."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser.errors import CheckpointError
from ser.inference.metadata_file import metadata_path, read_metadata_of
from ser.inference.scorer import Scored
from ser.models.metadata import FeatureGroups, ModelMetadata

# Before ONNX Runtime is imported, here or elsewhere: else it reports its use to its makers, and keeps a mark of the
# machine in the home folder. Whoever wants that can set the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

FEATURES, LENGTHS, CONTEXT = "features", "lengths", "context"
PROBABILITIES, ATTENTION, SUMMARY = "probabilities", "attention", "summary"
"""The names of the inputs and the outputs of the graph; context and summary only where the model takes context."""


class OnnxScorer:
    """Features to probabilities; see `ser.inference.scorer.Scorer`.

    Parameters
    ----------
    model : the content of an .onnx file.

    Raises
    ------
    ImportError : onnxruntime is not installed.
    Exception : of onnxruntime, for bytes that are no model.
    """

    def __init__(self, model: bytes) -> None:
        import onnxruntime  # a tenth of a second, and only where a model is of ONNX

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # as of torch: many predictions run side by side
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        self.n_context = next((node.shape[1] for node in self.session.get_inputs() if node.name == CONTEXT), 0)

    def __call__(
        self, features: NDArray[np.float32], lengths: NDArray[np.int64], context: NDArray[np.float32] | None = None
    ) -> Scored:
        inputs = {FEATURES: features, LENGTHS: lengths}
        if not self.n_context:
            probabilities, attention = self.session.run([PROBABILITIES, ATTENTION], inputs)
            return Scored(probabilities, attention, np.zeros((len(features), 0), np.float32))
        known = np.zeros((len(features), self.n_context), np.float32) if context is None else context
        return Scored(*self.session.run([PROBABILITIES, ATTENTION, SUMMARY], inputs | {CONTEXT: known}))


def load_onnx_scorer(path: Path, *, feature_groups: FeatureGroups | None = None) -> tuple[OnnxScorer, ModelMetadata]:
    """Read an exported model and the metadata beside it; `feature_groups` are one's own.

    Raises
    ------
    CheckpointError : either file is missing, damaged or foreign, the two do not belong together, or onnxruntime is
        not installed.
    """
    if not path.is_file():
        command = "ser export <run>"
        raise CheckpointError(f"{path}: there is no such model; write one with `{command}`.")
    model = path.read_bytes()
    metadata = read_metadata_of(path, model, feature_groups)
    try:
        scorer = OnnxScorer(model)
    except ImportError as error:
        raise CheckpointError(f"{path} needs onnxruntime, which is missing here: pip install onnxruntime.") from error
    except Exception as error:  # onnxruntime's errors have no class in common
        raise CheckpointError(f"{path} is damaged or not an ONNX model ({type(error).__name__}).") from error
    _check_shapes(scorer, metadata, path)
    return scorer, metadata


def _check_shapes(scorer: OnnxScorer, metadata: ModelMetadata, path: Path) -> None:
    """Compare the graph with its metadata, which the digest does not guard; batch axes are left out."""
    inputs = {node.name: node.shape[1:] for node in scorer.session.get_inputs()}
    outputs = {node.name: node.shape[1:] for node in scorer.session.get_outputs()}
    features, n_summary = metadata.features, metadata.context
    of_context = {CONTEXT: [1 + 2 * n_summary]} if n_summary else {}
    fits = (
        inputs == {FEATURES: [features.n_features, features.max_length], LENGTHS: [], **of_context}
        and outputs.get(PROBABILITIES) == [len(metadata.class_names)]
        and outputs.get(SUMMARY) == ([n_summary] if n_summary else None)
        and ATTENTION in outputs
    )
    if not fits:
        maps = f"{path} maps {inputs} to {outputs}"
        raise CheckpointError(f"{maps}, which does not fit {metadata_path(path).name}; export both again.")
