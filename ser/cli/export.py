"""`ser export <run> [--format onnx] [--output <file.onnx>]`: a model without PyTorch."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from ser.cli.command import FeatureGroups, Networks, own_parts
from ser.errors import SettingsError
from ser.features.validation import read_settings, settings_dataclass
from ser.inference.metadata_file import ONNX


@settings_dataclass
class ExportSettings:
    """The format to write, and where (`output`; None: beside the run)."""

    format: Literal["onnx"]
    output: str | None

    def __post_init__(self) -> None:
        if self.output is not None and Path(self.output).suffix != ONNX:
            raise SettingsError(f"output is {self.output}, but should end in {ONNX}.")


def export(
    run: Annotated[Path, typer.Argument(help="a run's folder, a folder of runs, or a checkpoint")],
    format: Annotated[str, typer.Option(help="onnx")] = "onnx",
    output: Annotated[str | None, typer.Option(help="the .onnx file to write; beside the run if left out")] = None,
    network: Networks = None,
    feature_group: FeatureGroups = None,
) -> int:
    """Write a model that needs no PyTorch.

    Writes model.onnx, with the normalisation and the softmax inside, and beside it model.json, the metadata. Keep the
    two together; `ser predict --model <model.onnx>` reads them.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    settings = read_settings(ExportSettings, {"format": format, "output": output}, where="export")

    from ser.inference.export import export_onnx  # torch, only once it is needed

    output_path = None if settings.output is None else Path(settings.output)
    print(export_onnx(run, output_path, **own_parts(network, feature_group)))
    return 0
