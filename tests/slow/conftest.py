"""`SER_SOAK=<n>` does everything that is counted here n times as often: docs/reliability.md has the long runs."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from ser.corpora.ravdess import EMOTIONS, RecordingName
from ser.corpora.synthetic import SAMPLE_RATE, synthesize

RATE = 48_000
TIMES = int(os.environ.get("SER_SOAK", "1"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):  # fast ones may run beside
            item.add_marker(pytest.mark.timeout(900 * TIMES))


@pytest.fixture(scope="session")
def times():
    """How many times as often as in a short run."""
    return TIMES


@pytest.fixture(scope="session")
def as_wav():
    """float [samples] or [samples, channels] at 48 kHz as the bytes of a WAV file."""

    def write(wave: np.ndarray, *, subtype: str = "PCM_16") -> bytes:
        file = io.BytesIO()
        soundfile.write(file, wave, RATE, format="WAV", subtype=subtype)
        return file.getvalue()

    return write


@pytest.fixture(scope="session")
def voice_wav(as_wav):
    """Sentences of a synthetic voice, different for every seed, as a 16-bit WAV file at 48 kHz."""

    def made(seed: int, *, seconds: float = 3.0) -> bytes:
        name = RecordingName("speech", EMOTIONS[seed % 8], "strong", 1 + seed % 2, 1, 1 + seed % 24)
        sentence = soxr.resample(synthesize(name, seed=seed), SAMPLE_RATE, RATE)
        n_samples = round(seconds * RATE)
        return as_wav(np.tile(sentence, n_samples // len(sentence) + 1)[:n_samples])

    return made
