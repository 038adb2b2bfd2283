"""What the tests of the app share: a model, sounds to upload, and the app itself."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from streamlit.testing.v1 import AppTest

from app.model_choice import OPTION, VARIABLE
from app.reading import Upload, read

APP = Path(__file__).parents[2] / "app" / "app.py"


@pytest.fixture(autouse=True)
def pretrained_models(monkeypatch, tmp_path):
    """The folder of the pretrained models: an empty one, whatever the package holds."""
    folder = tmp_path / "pretrained"
    monkeypatch.setattr("ser.inference.pretrained.MODELS", folder)
    return folder


@pytest.fixture(scope="session")
def readings(predictor, short_wav, long_wav):
    """What the app makes of the two sounds below."""
    contents = {"a,b.wav": short_wav, "03-01-06-02-01-01-17.wav": long_wav}
    return [read(Upload(key=name, name=name, content=content), predictor) for name, content in contents.items()]


@pytest.fixture(scope="session")
def short_wav(voice):
    """A sound that one segment holds, as the bytes of a WAV file."""
    return wav(voice[:30000])


@pytest.fixture(scope="session")
def long_wav(voice):
    """The voice twice (2 s each), with 4 s of silence between."""
    return wav(np.concatenate([voice, np.zeros(4 * 22050, dtype=np.float32), voice]))


@pytest.fixture
def open_app(monkeypatch, tmp_path):
    """A function that opens the app in an empty folder, its command line as given."""

    def open_with(*arguments):
        monkeypatch.setattr("sys.argv", ["app.py", *arguments])
        monkeypatch.delenv(VARIABLE, raising=False)
        monkeypatch.chdir(tmp_path)
        return AppTest.from_file(APP, default_timeout=30).run()

    return open_with


@pytest.fixture
def app(open_app, tiny_checkpoint):
    """The app with that model."""
    return open_app(f"{OPTION}={tiny_checkpoint}")


def wav(waveform, rate=22050):
    """Return float [samples] as the bytes of a 16-bit WAV file."""
    content = io.BytesIO()
    soundfile.write(content, waveform, rate, format="WAV")
    return content.getvalue()
