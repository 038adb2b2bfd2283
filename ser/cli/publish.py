"""`ser publish <run> --name <name>`: a model that is loaded by its name."""

import logging
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from ser.cli.command import FeatureGroups, Networks, own_parts
from ser.features.validation import read_settings, settings_dataclass
from ser.inference.metadata_file import SAFETENSORS
from ser.inference.pretrained import MODELS


@settings_dataclass
class PublishSettings:
    """The name to give."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


def publish(
    run: Annotated[Path, typer.Argument(help="a run's folder, a folder of runs, or a checkpoint")],
    name: Annotated[str, typer.Option(help="small letters, digits, _ and -")],
    folder: Annotated[Path | None, typer.Option(help="where to; the package if left out")] = None,
    cross_validation: Annotated[
        Path | None, typer.Option(help="of the same recipe: its mean temperature and rejection threshold are taken")
    ] = None,
    network: Networks = None,
    feature_group: FeatureGroups = None,
) -> int:
    """Write a model that is loaded by its name.

    Writes <name>.safetensors, the weights; <name>.json, the metadata; and, where onnx and onnxruntime are installed,
    <name>.onnx, for prediction without PyTorch. Keep them together.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    settings = read_settings(PublishSettings, {"name": name}, where="publish")

    from ser.evaluation.publish import publish as write  # torch, only once it is needed

    output = (folder or MODELS) / f"{settings.name}{SAFETENSORS}"
    own = own_parts(network, feature_group)
    print(*write(run, output, cross_validation=cross_validation, **own), sep="\n")
    return 0
