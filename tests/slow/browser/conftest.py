"""A real browser, the real server, and sounds whose answers are known."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from playwright.sync_api import Browser, BrowserContext, Page

from benchmarks.app_server import ROOT, AppServer, running_app
from benchmarks.app_visitor import CHROMIUM, launch_chromium, wait_until_idle
from ser.audio.io import read_sound
from ser.corpora.ravdess import EMOTIONS
from ser.features.pipeline import load_features
from ser.features.settings import FeatureSettings
from ser.inference.checkpoint import PREFIX, describe, fresh_recogniser, save_atomically
from ser.inference.export import export_onnx
from ser.inference.predictor import Predictor, Timeline
from ser.models.metadata import ModelMetadata

RATE = 48_000


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures and the server's log are kept: `SER_SCREENSHOTS`, else a folder below outputs/."""
    folder = Path(os.environ.get("SER_SCREENSHOTS") or ROOT / "outputs" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def voice_wav() -> Callable[..., bytes]:
    """A made-up voice by number, as the bytes of a WAV file."""
    return _voice_wav


@pytest.fixture(scope="session")
def as_wav() -> Callable[..., bytes]:
    """float [samples] or [samples, channels] at 48 kHz as the bytes of a WAV file."""
    return _as_wav


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that was not trained, but made to give each of the made-up voices an answer of its own."""
    metadata = ModelMetadata(
        architecture="cnn_bilstm_luong",
        network={"conv_channels": [8, 8], "lstm_hidden": 8, "lstm_layers": 1},
        class_names=EMOTIONS,
        features=FeatureSettings(),
        protocol="Not trained: made for tests.",
        rejection_threshold=0.4,
    )
    voices = [load_features(_voice_wav(1000 + seed), settings=metadata.features) for seed in range(8)]
    features = torch.from_numpy(np.stack([voice.features for voice in voices]))
    lengths = torch.tensor([voice.length for voice in voices])
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        recogniser = fresh_recogniser(metadata).eval()
        mean, scale = features.mean(dim=(0, 2))[:, None], features.std(dim=(0, 2))[:, None] + 1e-6
        shape = recogniser.normalisation.mean.shape
        recogniser.normalisation.set_statistics(mean.expand(shape), scale.expand(shape))
        logits, _ = recogniser(features, lengths)
        # Fresh weights say nearly the same of every voice: spread what they say.
        spread = 2 / logits.std(dim=0)
        recogniser.network.classify.bias.sub_(logits.mean(dim=0)).mul_(spread)
        recogniser.network.classify.weight.mul_(spread[:, None])
    state = {PREFIX + name: tensor for name, tensor in recogniser.state_dict().items()}
    path = tmp_path_factory.mktemp("model") / "model.ckpt"
    save_atomically({"state_dict": state, "ser": describe(metadata)}, path)
    return path


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> Path:
    """That network as an .onnx file."""
    return export_onnx(checkpoint)


@pytest.fixture(scope="session")
def timeline_of(model: Path) -> Callable[[bytes], Timeline]:
    """What `Predictor` says of the bytes of a sound file."""
    predictor = Predictor.load(model)

    def follow(content: bytes) -> Timeline:
        sound = read_sound(content, sample_rate=predictor.metadata.features.sample_rate)
        return predictor.predict_long(sound, name="expected")

    return follow


@pytest.fixture(scope="session")
def server(model: Path, screenshots: Path, worker_id: str) -> Iterator[AppServer]:
    """The app, with the .onnx model."""
    with running_app(screenshots / f"server-{worker_id}.log", arguments=[f"checkpoint={model}"]) as running:
        yield running


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's Chromium, whose microphone hears voice 0."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not on this machine: apt-get install chromium")
    speech = tmp_path_factory.mktemp("microphone") / "speech.wav"
    speech.write_bytes(_voice_wav(0))
    with launch_chromium(microphone=speech) as browser:
        yield browser


@pytest.fixture
def context(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Open a browser profile of its own, that of one visitor; closed at the end of the test."""
    opened: list[BrowserContext] = []

    def new(**options: object) -> BrowserContext:
        opened.append(chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        return opened[-1]

    yield new
    for one in opened:
        one.close()


@pytest.fixture
def keep(screenshots: Path) -> Callable[[Page, str], None]:
    """Keep a picture of a whole page, of however many screens."""

    def take(page: Page, name: str) -> None:
        wait_until_idle(page)
        width = page.viewport_size["width"]
        height = page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(500)  # charts are drawn anew in the new size
        page.screenshot(path=screenshots / f"{name}.png")

    return take


def _voice_wav(seed: int, *, seconds: float = 3.0) -> bytes:
    """Gliding harmonics in syllables and a little noise, different for every seed, as a 16-bit WAV file at 48 kHz."""
    rng = np.random.default_rng(seed)
    moments = np.arange(round(seconds * RATE)) / RATE
    glide = 1 + rng.uniform(0.05, 0.4) * np.sin(2 * np.pi * rng.uniform(0.3, 2) * moments + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(rng.uniform(90, 280) * glide) / RATE
    tilt = rng.uniform(0.7, 1.8)
    harmonics = sum(np.sin(partial * phase) / partial**tilt for partial in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(0.8, 2.5) * moments + rng.uniform(0, 6)) + 0.4, 0, 1)
    noise = rng.normal(scale=10 ** rng.uniform(-4, -2), size=len(moments))
    wave = np.clip(rng.uniform(0.05, 0.25) * harmonics * syllables + noise, -0.99, 0.99)
    return _as_wav(wave)


def _as_wav(wave: np.ndarray, *, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="WAV", subtype=subtype)
    return file.getvalue()
