"""`python -m ser.publish checkpoint=<run folder or file> name=<name>`: a model that is loaded by its name.

With `cross_validation=<folder>`, of the same recipe, it takes from there the temperature and the confidence below which
it calls itself uncertain: the mean of those that each run chose on its validation actors.

Writes `<name>.safetensors`, the weights; `<name>.json`, the description; and, where onnx and onnxruntime are installed,
`<name>.onnx`, for prediction without PyTorch. They lie in the package, or in `folder=<folder>`. Keep them together.
"""

import json
import logging
import re
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ser.checkpoint import load_recogniser
from ser.cross_validation.report import RESULTS
from ser.description_file import ONNX, SAFETENSORS, description_path
from ser.errors import CheckpointError, SettingsError
from ser.export import onnx_model, require_packages
from ser.key_value_command import key_value_command
from ser.published import MODELS, write_published
from ser.run_folder import find_checkpoint
from ser.settings import require

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublishSettings:
    """What the command is told: `checkpoint`, the `name` to give, where to (`folder`; empty: the package), and which
    `cross_validation` calibrates it (empty: none)."""

    checkpoint: str
    name: str
    folder: str = ""
    cross_validation: str = ""

    def __post_init__(self) -> None:
        require(
            re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.name) is not None,
            f"name is {self.name!r}, but should be of lower-case letters, digits, - and _.",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish, print the paths of the files; return the exit status."""
    keys = "checkpoint=<path>, name=<name>, folder=<folder>, cross_validation=<folder>"
    return key_value_command(
        _publish_as_told, PublishSettings, module="publish", description=__doc__, keys=keys, arguments=arguments
    )


def _publish_as_told(settings: PublishSettings) -> str:
    folder = Path(settings.folder) if settings.folder else MODELS
    calibration = read_calibration(Path(settings.cross_validation)) if settings.cross_validation else None
    paths = publish(Path(settings.checkpoint), folder / f"{settings.name}{SAFETENSORS}", calibration=calibration)
    return "\n".join(map(str, paths))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a cross-validation found for its recipe; see `ser.description.Description`."""

    temperature: float
    uncertain_below: float


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
            temperature=statistics.geometric_mean(temperatures), uncertain_below=statistics.fmean(thresholds)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not the result of a cross-validation ({type(error).__name__}).") from error


def publish(checkpoint: Path, output: Path, *, calibration: Calibration | None = None) -> list[Path]:
    """Write the model of a checkpoint, or of a run's folder, as `output`, a .safetensors file; return all files.

    Raises
    ------
    CheckpointError : as `load_recogniser`, `onnx_model` and `write_published`; nothing is written.
    OSError : a file cannot be written.
    """
    source = find_checkpoint(checkpoint)
    recogniser, description = load_recogniser(source)
    if calibration is not None:
        description = replace(description, **vars(calibration))
    onnx = None
    try:
        require_packages()
        onnx = onnx_model(recogniser, description, source)
    except SettingsError as error:
        log.warning("No %s file is written: %s", ONNX, error)
    write_published(output, recogniser, description, onnx=onnx)
    return [output, description_path(output), *([output.with_suffix(ONNX)] if onnx is not None else [])]


if __name__ == "__main__":
    sys.exit(main())
