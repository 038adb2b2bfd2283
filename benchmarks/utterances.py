"""Any number of short utterances of synthetic voices, on no disk: a file system of fsspec makes one when it is read.

`utterances://100000` is a folder of as many WAV files, of half a second at 8 kHz. Each differs from the others by its
voice, its place in a sentence, or its loudness.
"""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from fsspec.spec import AbstractFileSystem
from numpy.typing import NDArray

from ser.corpora.ravdess import EMOTIONS, RecordingName
from ser.corpora.synthetic import synthesize

RATE, SECONDS = 8_000, 0.5
_SENTENCES = 16


class Utterances(AbstractFileSystem):
    """See above."""

    protocol = "utterances"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return what a path is: the folder, or a file."""
        return {"name": path, "size": None, "type": "file" if path.endswith(".wav") else "directory"}

    def find(self, path: str, **_: Any) -> list[str]:
        """Return the files of a folder, which its number says."""
        return [f"{path}/{number:07d}.wav" for number in range(int(path))]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return the content of a file."""
        return utterance(int(path.rpartition("/")[2].removesuffix(".wav")))[start:end]


def utterance(number: int) -> bytes:
    """Return the WAV file of a number."""
    sentence = _sentence(number % _SENTENCES)
    n_samples = int(RATE * SECONDS)
    start = number * 7919 % (len(sentence) - n_samples)
    file = io.BytesIO()
    loudness = 0.5 + number * 104_729 % 1000 / 2000
    soundfile.write(file, loudness * sentence[start : start + n_samples], RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


@lru_cache(maxsize=_SENTENCES)
def _sentence(seed: int) -> NDArray[np.float32]:
    name = RecordingName("speech", EMOTIONS[seed % len(EMOTIONS)], "strong", 1, 1, 1 + seed % 24)
    sound: NDArray[np.float32] = soxr.resample(synthesize(name, seed=seed), 22_050, RATE)
    return sound


@contextmanager
def known_to_fsspec() -> Iterator[str]:
    """Yield what PYTHONPATH needs so that fsspec finds the file system in every process, as of an installed package."""
    with tempfile.TemporaryDirectory() as name:
        package = Path(name) / "utterances-0.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: utterances\nVersion: 0\n")
        (package / "entry_points.txt").write_text("[fsspec.specs]\nutterances = utterances:Utterances\n")
        yield f"{name}:{Path(__file__).parent}"
