"""`SER_SOAK=<n>` does everything that is counted here n times as often: docs/reliability.md has the long runs."""

import io
import os

import numpy as np
import pytest
import soundfile

RATE = 48_000
TIMES = int(os.environ.get("SER_SOAK", "1"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
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
    """Gliding harmonics in syllables and a little noise, different for every seed, as a 16-bit WAV file at 48 kHz."""

    def made(seed: int, *, seconds: float = 3.0) -> bytes:
        rng = np.random.default_rng(seed)
        moments = np.arange(round(seconds * RATE)) / RATE
        glide = 1 + rng.uniform(0.05, 0.4) * np.sin(2 * np.pi * rng.uniform(0.3, 2) * moments + rng.uniform(0, 6))
        phase = 2 * np.pi * np.cumsum(rng.uniform(90, 280) * glide) / RATE
        tilt = rng.uniform(0.7, 1.8)
        harmonics = sum(np.sin(partial * phase) / partial**tilt for partial in range(1, 25))
        syllables = np.clip(np.sin(2 * np.pi * rng.uniform(0.8, 2.5) * moments + rng.uniform(0, 6)) + 0.4, 0, 1)
        noise = rng.normal(scale=10 ** rng.uniform(-4, -2), size=len(moments))
        return as_wav(np.clip(rng.uniform(0.05, 0.25) * harmonics * syllables + noise, -0.99, 0.99))

    return made
