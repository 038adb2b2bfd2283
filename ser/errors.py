"""The errors that a person can mend: each message names the file or key, the value, and what would be right."""


class SerError(Exception):
    """Base of every error that the command line prints as one sentence, without a traceback."""


class SettingsError(SerError, ValueError):
    """A setting that is unknown, of the wrong type, or out of its range."""


class AudioError(SerError):
    """A recording that cannot be read, or that holds no usable sound."""


class CorpusError(SerError):
    """A corpus that is missing, empty, or not laid out and named as RAVDESS is."""


class DownloadError(SerError):
    """A download or an archive that failed a check of size, checksum or content."""


class CheckpointError(SerError):
    """A checkpoint that is missing, damaged, or not written by this project."""


_EXTRAS = {"streamlit": "app", "onnx": "export", "optuna": "tune", "submitit": "launchers", "ray": "launchers"}
_EXTRAS |= {"wandb": "loggers", "mlflow": "loggers"}
"""Package, by the name of its import -> the extra that brings it, where that is not `train`."""


def missing_package(error: ImportError, what: str) -> str:
    """Return the sentence on `what` needs a package that is not installed, without its full stop.

    >>> missing_package(ModuleNotFoundError(name="torch.nn"), "tiny.ckpt")
    'tiny.ckpt needs torch, which is not installed: pip install "ser[train]"'
    """
    package = str(error.name).partition(".")[0]
    return f'{what} needs {package}, which is not installed: pip install "ser[{_EXTRAS.get(package, "train")}]"'
