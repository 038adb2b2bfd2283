"""`python -m ser export checkpoint=<run folder or file> format=onnx [output=<file.onnx>]`: a model without PyTorch.

Writes `model.onnx`, with the normalisation and the softmax inside, and beside it `model.json`, the metadata. Keep
the two together; `python -m ser predict checkpoint=<model.onnx>` reads them.
"""

from functools import partial
from pathlib import Path
from typing import Literal

from ser.cli.command import key_value_command
from ser.errors import SettingsError
from ser.features.validation import settings_dataclass
from ser.inference.metadata_file import ONNX


@settings_dataclass
class ExportSettings:
    """The settings of the command: `checkpoint`, the `format` to write, and where (`output`; empty: beside the run)."""

    checkpoint: str
    format: Literal["onnx"] = "onnx"
    output: str = ""

    def __post_init__(self) -> None:
        if self.output and Path(self.output).suffix != ONNX:
            raise SettingsError(f"output is {self.output}, but should end in {ONNX}.")


def _export(settings: ExportSettings) -> str:
    """Return the path of the model."""
    from ser.inference.export import export_onnx  # torch, only once it is needed

    return str(export_onnx(Path(settings.checkpoint), Path(settings.output) if settings.output else None))


main = partial(key_value_command, _export, ExportSettings, name="export", description=__doc__)
