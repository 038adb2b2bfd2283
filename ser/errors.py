"""The errors that a person can mend: each message names the file or key, the value, and what would be right."""

import unicodedata


class SerError(Exception):
    """Base of every error that the command line prints as one sentence, without a traceback."""


class SettingsError(SerError, ValueError):
    """A setting that is unknown, of the wrong type, or out of its range."""


class AudioError(SerError):
    """A recording that cannot be read, or that holds no usable sound."""


class CorpusError(SerError):
    """A corpus that is missing, empty, or not laid out, named or listed as it should be."""


class DownloadError(SerError):
    """A download or an archive that failed a check of size, checksum or content."""


class CheckpointError(SerError):
    """A checkpoint that is missing, damaged, or not written by this project."""


_JOINERS = "\u200c\u200d"
"""Of no width, but part of Persian words and of emoji."""


def printable(name: str, encoding: str = "utf-8") -> str:
    r"""Return a name as a terminal of that encoding can show it, for messages; the name itself stays what it is.

    Bytes that are no text (`os.fsdecode` makes surrogates of them), control characters (a new line, an escape
    sequence, a change of direction), and what the encoding lacks become escapes.

    >>> printable("caf\udce9 \x1b[31m.wav"), printable("größe.wav"), printable("größe.wav", "ascii")
    ('caf\\xe9 \\x1b[31m.wav', 'größe.wav', 'gr\\xf6\\xdfe.wav')
    """
    return "".join(map(_shown, name)).encode(encoding, "backslashreplace").decode(encoding)


def _shown(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return character
    code = ord(character)
    code = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code  # the byte that a surrogate stands for
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


EXTRA_OF = {
    **dict.fromkeys(
        (
            "torch", "lightning", "hydra", "omegaconf", "yaml", "librosa", "sklearn", "torchmetrics", "tensorboard",
            "scipy", "numba", "matplotlib", "pandas", "pyarrow", "pooch", "safetensors", "tabulate",
            "jinja2", "fsspec",
        ),
        "train",
    ),
    **{"streamlit": "app", "onnx": "export", "optuna": "tune", "submitit": "launchers", "ray": "ray"},
    **{"wandb": "loggers", "mlflow": "loggers"},
    **{"transformers": "encoders", "huggingface_hub": "encoders"},
    **dict.fromkeys(("fastapi", "uvicorn", "websockets", "prometheus_client", "python_multipart"), "serve"),
}  # fmt: skip
"""Package that a base installation lacks, by the name of its import -> the extra that brings it."""


def missing_package(error: ImportError, what: str) -> str:
    """Return the sentence on `what` needs a package that is not installed, without its full stop.

    Raises
    ------
    ImportError : `error` itself, of a package that no extra brings: it is a user's own, and theirs to mend.

    >>> missing_package(ModuleNotFoundError(name="torch.nn"), "tiny.ckpt")
    'tiny.ckpt needs torch, which is not installed: pip install "ser[train]"'
    """
    package = str(error.name).partition(".")[0]
    if package not in EXTRA_OF:
        raise error
    return f'{what} needs {package}, which is not installed: pip install "ser[{EXTRA_OF[package]}]"'
