"""`python -m ser publish checkpoint=<run folder or file> name=<name>`: a model that is loaded by its name.

With `cross_validation=<folder>`, of the same recipe, it takes from there the temperature and the rejection threshold:
the means of those that each run chose on its validation actors.

Writes `<name>.safetensors`, the weights; `<name>.json`, the metadata; and, where onnx and onnxruntime are installed,
`<name>.onnx`, for prediction without PyTorch. They lie in the package, or in `folder=<folder>`. Keep them together.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ser.cli.command import key_value_command
from ser.features.validation import settings_dataclass
from ser.inference.metadata_file import SAFETENSORS
from ser.inference.pretrained import MODELS


@settings_dataclass
class PublishSettings:
    """The settings of the command: `checkpoint`, the `name` to give, where to (`folder`; empty: the package), and which
    `cross_validation` calibrates it (empty: none)."""

    checkpoint: str
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    folder: str = ""
    cross_validation: str = ""


def _publish(settings: PublishSettings) -> str:
    """Return the paths of the files."""
    from ser.evaluation.publish import publish  # torch, only once it is needed

    folder = Path(settings.folder) if settings.folder else MODELS
    cross_validation = Path(settings.cross_validation) if settings.cross_validation else None
    output = folder / f"{settings.name}{SAFETENSORS}"
    paths = publish(Path(settings.checkpoint), output, cross_validation=cross_validation)
    return "\n".join(map(str, paths))


main = partial(key_value_command, _publish, PublishSettings, name="publish", description=__doc__)
