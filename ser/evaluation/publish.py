"""Write a checkpoint as a pretrained model, which is loaded by its name, calibrated by a cross-validation."""

import logging
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from ser.errors import CheckpointError, SettingsError
from ser.evaluation.cross_validation.record import RESULTS, read_results
from ser.evaluation.cross_validation.report import last_part
from ser.inference.checkpoint import Networks, load_recogniser
from ser.inference.export import onnx_model
from ser.inference.metadata_file import ONNX, metadata_path
from ser.inference.pretrained import write_pretrained
from ser.inference.run_folder import find_checkpoint
from ser.models.metadata import FeatureGroups, RecipeScores

log = logging.getLogger(__name__)


def read_calibration(folder: Path) -> dict[str, Any]:
    """Return what a cross-validation found for its recipe: entries of `ser.models.metadata.ModelMetadata`.

    - temperature: the geometric mean of those of the runs.
    - rejection_threshold: the mean of those of the runs. A run without one, because none reached the target accuracy,
      rejects everything: it counts as 1.

    Raises
    ------
    CheckpointError : the folder is not that of a finished cross-validation.
    """
    runs = [run for run in read_results(folder)["runs"] if run["seed"] != "ensemble"]
    try:
        thresholds = [run["rejection_threshold"] for run in runs]
        return {
            "temperature": statistics.geometric_mean(run["temperature"] for run in runs),
            "rejection_threshold": statistics.fmean(1.0 if each is None else each for each in thresholds),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / RESULTS} holds no run with its calibration: {error}.") from error


def read_scores(folder: Path) -> RecipeScores | None:
    """Return the scores of a cross-validation on the recordings of its last part, None where it has none."""
    results = read_results(folder)
    summary = results["summary"].get(last_part(results))
    if not summary:
        return None
    means = summary["mean_over_folds"]
    return RecipeScores(
        protocol=results["protocol"],
        n_recordings=summary["pooled"]["all_seeds"]["n_recordings"] // len(results["seeds"]),
        accuracy=means["accuracy"]["mean"],
        uar=means["uar"]["mean"],
    )


def publish(
    checkpoint: Path,
    output: Path,
    *,
    cross_validation: Path | None = None,
    networks: Networks | None = None,
    feature_groups: FeatureGroups | None = None,
) -> list[Path]:
    """Write the model of a checkpoint, or of a run's folder, as `output`, a .safetensors file; return all files.

    Parameters
    ----------
    cross_validation : the folder of one of the same recipe, which calibrates the model (`read_calibration`), and whose
        scores it bears.
    networks, feature_groups : those of one's own that the model was trained with, by name.

    Raises
    ------
    CheckpointError : as `read_calibration`, `load_recogniser`, `onnx_model` and `write_pretrained`; nothing is written.
    OSError : a file cannot be written.
    """
    source = find_checkpoint(checkpoint)
    recogniser, metadata = load_recogniser(source, networks=networks, feature_groups=feature_groups)
    if cross_validation is not None:
        scores = read_scores(cross_validation)
        metadata = replace(metadata, **read_calibration(cross_validation), recipe_scores=scores)
    onnx = None
    try:
        onnx = onnx_model(recogniser, metadata, source)
    except SettingsError as error:
        log.warning("No %s file is written: %s", ONNX, error)
    write_pretrained(output, recogniser, metadata, onnx=onnx, networks=networks)
    return [output, metadata_path(output), *([output.with_suffix(ONNX)] if onnx is not None else [])]
