"""A server within the process, with the pretrained model on ONNX Runtime."""

import io

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from ser.corpora.ravdess import EMOTIONS, RecordingName
from ser.corpora.synthetic import SAMPLE_RATE, synthesize
from ser.inference.predictor import Predictor
from ser.server import create_app


@pytest.fixture(scope="session")
def onnx_predictor():
    return Predictor.load("ser-ravdess")


@pytest.fixture(scope="session")
def client(onnx_predictor):
    with TestClient(create_app(onnx_predictor, name="ser-ravdess"), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def sentence():
    """Sentences of synthetic voices, float32 [samples] at 22,050 Hz, peak 0.5; another for every seed."""

    def say(seed: int = 0) -> np.ndarray:
        name = RecordingName("speech", EMOTIONS[seed % 8], "strong", 1 + seed % 2, 1, 1 + seed % 24)
        wave = synthesize(name, seed=seed)
        return (0.5 * wave / np.abs(wave).max()).astype(np.float32)

    return say


@pytest.fixture(scope="session")
def encoded():
    """float [samples] at 22,050 Hz as the bytes of a file."""

    def write(wave: np.ndarray, format: str = "WAV", subtype: str = "PCM_16") -> bytes:
        file = io.BytesIO()
        soundfile.write(file, wave, SAMPLE_RATE, format=format, subtype=subtype)
        return file.getvalue()

    return write


def form(*contents: bytes, names=None):
    """Return recordings as the `files` of a request."""
    names = names or [f"{place}.wav" for place in range(len(contents))]
    return [("files", (name, content, "audio/wav")) for name, content in zip(names, contents, strict=True)]
