"""Which model the app runs: the one that is named, else a pretrained one, or one of those below `outputs/`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ser.errors import SettingsError
from ser.inference.metadata_file import ONNX, SAFETENSORS, metadata_path
from ser.inference.predictor import Predictor
from ser.inference.pretrained import find_model, find_pretrained, is_pretrained, pretrained_names
from ser.inference.run_folder import BEST, CHECKPOINTS, find_checkpoint

OPTION = "--model"
VARIABLE = "SER_CHECKPOINT"

_RUN_TIME = re.compile(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-\d\d")


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A version of a model on disk: one written anew at the same path is another.

    Attributes
    ----------
    path : a .ckpt, .onnx or .safetensors file.
    versions : modification time in nanoseconds and size in bytes, of the file and of what must lie beside it.
    """

    path: Path
    versions: tuple[tuple[int, int], ...]

    @property
    def runtime(self) -> str:
        """The library that runs it."""
        return "ONNX Runtime" if self.path.suffix == ONNX else "PyTorch"

    @property
    def run(self) -> Path:
        """The folder of its run, if it lies where `train.py` and `ser.inference.export` write."""
        return self.path.parent.parent if self.path.parent.name == CHECKPOINTS else self.path.parent

    @property
    def written(self) -> datetime:
        """When the file was written, in the server's time zone."""
        return datetime.fromtimestamp(self.versions[0][0] / 1e9).astimezone()


def named_model(arguments: Sequence[str], environment: Mapping[str, str]) -> Path | None:
    """Return the model that the command line (`--model <path>`) or else `SER_CHECKPOINT` names, or None.

    Parameters
    ----------
    arguments : what follows `--` in `streamlit run app/app.py -- --model <path>`.

    Raises
    ------
    SettingsError : an argument that is none.
    """
    words = [*arguments[0].split("=", 1), *arguments[1:]] if arguments else []
    if words and (words[0] != OPTION or len(words) != 2):
        raise SettingsError(f"{' '.join(arguments)} is not an argument of the app; the only one is {OPTION} <path>.")
    named = words[1] if words else environment.get(VARIABLE, "")
    return Path(named) if named else None


def open_model(path: Path) -> ModelFile:
    """Return the model at `path`.

    Parameters
    ----------
    path : a run's folder, a folder of runs (the newest is taken), a checkpoint, an .onnx or .safetensors file, or the
        name of a pretrained model.

    Raises
    ------
    CheckpointError : there is none.
    """
    path = find_checkpoint(find_model(path))
    has_metadata = path.suffix in (ONNX, SAFETENSORS) and metadata_path(path).is_file()
    beside = [metadata_path(path)] if has_metadata else []
    states = [file.stat() for file in (path, *beside)]
    return ModelFile(path=path, versions=tuple((state.st_mtime_ns, state.st_size) for state in states))


def find_models(outputs: Path) -> list[ModelFile]:
    """Return the pretrained models, the best checkpoint of every run below `outputs`, and every exported model there.

    The pretrained ones come first, the default one before all; then the newest.
    """
    pretrained = [open_model(find_pretrained(name)) for name in pretrained_names()]
    exported = (path for path in outputs.rglob(f"*{ONNX}") if metadata_path(path).is_file())
    models = [open_model(path) for path in (*outputs.rglob(f"{CHECKPOINTS}/{BEST}"), *exported)]
    return pretrained + sorted(models, key=lambda model: model.versions[0], reverse=True)


def label_of(model: ModelFile, outputs: Path) -> str:
    """Return the label of a model of `find_models`: its name, or its run and when it was trained; its runtime.

    >>> path = Path("outputs/train/2026-01-31_12-00-05/checkpoints/best.ckpt")
    >>> label_of(ModelFile(path=path, versions=((0, 0),)), Path("outputs"))
    'train · 2026-01-31 12:00 · PyTorch'
    """
    if is_pretrained(model.path):
        return f"{model.path.stem} · {model.runtime}"
    parts = [_RUN_TIME.sub(r"\1 \2:\3", part) for part in model.run.relative_to(outputs).parts]
    if model.path.suffix == ONNX and model.path.name != f"model{ONNX}":
        parts.append(model.path.name)
    return " · ".join([*parts, model.runtime])


def load_model(model: ModelFile) -> Predictor:
    """Read a model; raises CheckpointError as `Predictor.load`."""
    return Predictor.load(model.path)
