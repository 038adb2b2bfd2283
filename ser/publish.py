"""`python -m ser.publish checkpoint=<run folder or file> name=<name>`: a model that is loaded by its name.

Writes `<name>.safetensors`, the weights; `<name>.json`, the description; and, where onnx and onnxruntime are installed,
`<name>.onnx`, for prediction without PyTorch. They lie in the package, or in `folder=<folder>`. Keep them together.
"""

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser.checkpoint import load_recogniser
from ser.description_file import ONNX, SAFETENSORS, description_path
from ser.errors import SerError, SettingsError
from ser.export import key_values, onnx_model, require_packages
from ser.published import MODELS, write_published
from ser.run_folder import find_checkpoint
from ser.settings import read_settings, require

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublishSettings:
    """What the command is told: `checkpoint`, the `name` to give, and where to (`folder`; empty: the package)."""

    checkpoint: str
    name: str
    folder: str = ""

    def __post_init__(self) -> None:
        require(
            re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.name) is not None,
            f"name is {self.name!r}, but should be of lower-case letters, digits, - and _.",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish, print the paths of the files; return 0, or 1 where it could not be done."""
    parser = argparse.ArgumentParser(
        prog="python -m ser.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="+", help="checkpoint=<path>, name=<name>, folder=<folder>")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        settings = read_settings(PublishSettings, key_values(options.settings), where="publish")
        folder = Path(settings.folder) if settings.folder else MODELS
        paths = publish(Path(settings.checkpoint), folder / f"{settings.name}{SAFETENSORS}")
    except (SerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(*paths, sep="\n")
    return 0


def publish(checkpoint: Path, output: Path) -> list[Path]:
    """Write the model of a checkpoint, or of a run's folder, as `output`, a .safetensors file; return all files.

    Raises
    ------
    CheckpointError : as `load_recogniser`, `onnx_model` and `write_published`; nothing is written.
    OSError : a file cannot be written.
    """
    source = find_checkpoint(checkpoint)
    recogniser, description = load_recogniser(source)
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
