"""`python -m ser publish checkpoint=<run folder or file> name=<name>`: a model that is loaded by its name.

With `cross_validation=<folder>`, of the same recipe, it takes from there the temperature and the confidence below which
it calls itself uncertain: the mean of those that each run chose on its validation actors.

Writes `<name>.safetensors`, the weights; `<name>.json`, the metadata; and, where onnx and onnxruntime are installed,
`<name>.onnx`, for prediction without PyTorch. They lie in the package, or in `folder=<folder>`. Keep them together.
"""

import json
import logging
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

from ser.errors import CheckpointError, SettingsError
from ser.evaluation.cross_validation.report import RESULTS
from ser.inference.checkpoint import load_recogniser
from ser.inference.export import onnx_model, require_packages
from ser.inference.metadata_file import ONNX, metadata_path
from ser.inference.pretrained import write_pretrained
from ser.inference.run_folder import find_checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a cross-validation found for its recipe; see `ser.models.metadata.ModelMetadata`."""

    temperature: float
    rejection_threshold: float


def read_calibration(folder: Path) -> Calibration:
    """Return the geometric mean of the runs' temperatures, and the mean of their thresholds.

    A run for which no threshold kept the accuracy that was asked for calls everything uncertain: it counts as 1.

    Raises
    ------
    CheckpointError : the folder is not that of a finished cross-validation.
    """
    path = folder / RESULTS
    try:
        runs = [run for run in json.loads(path.read_text(encoding="utf-8"))["runs"] if run["seed"] != "ensemble"]
        temperatures = [float(run["temperature"]) for run in runs]
        thresholds = [1.0 if run["threshold"] is None else float(run["threshold"]) for run in runs]
        return Calibration(
            temperature=statistics.geometric_mean(temperatures), rejection_threshold=statistics.fmean(thresholds)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not the result of a cross-validation ({type(error).__name__}).") from error


def publish(checkpoint: Path, output: Path, *, calibration: Calibration | None = None) -> list[Path]:
    """Write the model of a checkpoint, or of a run's folder, as `output`, a .safetensors file; return all files.

    Raises
    ------
    CheckpointError : as `load_recogniser`, `onnx_model` and `write_pretrained`; nothing is written.
    OSError : a file cannot be written.
    """
    source = find_checkpoint(checkpoint)
    recogniser, metadata = load_recogniser(source)
    if calibration is not None:
        metadata = replace(metadata, **vars(calibration))
    onnx = None
    try:
        require_packages()
        onnx = onnx_model(recogniser, metadata, source)
    except SettingsError as error:
        log.warning("No %s file is written: %s", ONNX, error)
    write_pretrained(output, recogniser, metadata, onnx=onnx)
    return [output, metadata_path(output), *([output.with_suffix(ONNX)] if onnx is not None else [])]
