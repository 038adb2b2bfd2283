"""Fixtures that several test files share."""

import os

# Before numpy and torch: test processes run side by side, and threads that spin for a core slow each other tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ser.checkpoint import PREFIX, describe, fresh_recogniser, save_atomically
from ser.corpus.names import CHANNELS, EMOTIONS, expected_names
from ser.corpus.recordings import Recording
from ser.corpus.synthetic import SyntheticSettings, write_synthetic_corpus
from ser.description import Description
from ser.features import FeatureSettings


@pytest.fixture(scope="session")
def ravdess_root() -> Path:
    """The folder of the real corpus; tests that ask for it bear the marker `ravdess`."""
    root = os.environ.get("RAVDESS_ROOT")
    if not root:
        pytest.skip("RAVDESS_ROOT is not set")
    return Path(root).resolve()


@pytest.fixture(scope="session")
def ravdess_recordings():
    """All 2,452 recordings of RAVDESS by name, sorted; the files are not there."""
    names = sorted((name for channel in CHANNELS for name in expected_names(channel)), key=lambda name: name.stem)
    return [Recording(path=Path(f"{name.stem}.wav"), name=name) for name in names]


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory):
    """The folder of a synthetic corpus of 45 recordings: three actors, one sentence, one take. Not to be written to."""
    settings = SyntheticSettings(n_actors=3, n_statements=1, n_repetitions=1)
    return write_synthetic_corpus(tmp_path_factory.mktemp("corpus") / "tiny", settings)


@pytest.fixture(scope="session")
def voice():
    """float32 [2 s at 22,050 Hz]: a buzz that swells and fades, with a little noise, the same in every session."""
    seconds = np.arange(2 * 22050) / 22050
    buzz = sum(np.sin(2 * np.pi * 140 * partial * seconds) / partial for partial in range(1, 12))
    noise = np.random.default_rng(0).normal(size=len(seconds))
    return (0.2 * buzz * np.sin(np.pi * seconds / 2) + 0.002 * noise).astype(np.float32)


@pytest.fixture
def voice_file(tmp_path, voice):
    """The voice as a 16-bit WAV file."""
    path = tmp_path / "voice.wav"
    soundfile.write(path, voice, 22050)
    return path


@pytest.fixture(scope="session")
def tiny_description():
    """A small network on the original's features, over 64 frames (1.49 s)."""
    return Description(
        architecture="cnn_bilstm_luong",
        network={"conv_channels": [4, 4], "lstm_hidden": 4, "lstm_layers": 1},
        class_names=EMOTIONS,
        features=FeatureSettings(max_length=64),
        protocol="Random weights: nothing was learnt.",
    )


@pytest.fixture(scope="session")
def tiny_content(tiny_description):
    """The content of a checkpoint of that description, with random weights and statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        recogniser = fresh_recogniser(tiny_description)
        shape = recogniser.standardiser.mean.shape
        recogniser.standardiser.set_statistics(torch.randn(shape), 1 + torch.rand(shape))
    state = {PREFIX + name: tensor for name, tensor in recogniser.state_dict().items()}
    return {"state_dict": state, "ser": describe(tiny_description)}


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_content, tmp_path_factory):
    """That checkpoint as a file. Not to be written to."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.ckpt"
    save_atomically(tiny_content, path)
    return path
