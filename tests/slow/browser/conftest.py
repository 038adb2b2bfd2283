"""A real browser, the real server, and sounds whose answers are known."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, BrowserContext, Page

from benchmarks.app_server import ROOT, AppServer, running_app
from benchmarks.app_visitor import CHROMIUM, launch_chromium, wait_until_idle
from ser.corpora.ravdess import EMOTIONS
from ser.features.extract import fit_length
from ser.features.pipeline import load_features
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain
from ser.inference.checkpoint import PREFIX, save_atomically
from ser.inference.export import export_onnx
from ser.inference.predictor import Predictor
from ser.inference.results import Prediction
from ser.models.metadata import ModelMetadata
from ser.models.registry import build_recogniser


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures and the server's log are kept: `SER_SCREENSHOTS`, else a folder below outputs/."""
    folder = Path(os.environ.get("SER_SCREENSHOTS") or ROOT / "outputs" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, voice_wav: Callable[..., bytes]) -> Path:
    """A small network that was not trained, but made to give each of the made-up voices an answer of its own."""
    metadata = ModelMetadata(
        architecture="cnn_bilstm_luong",
        network={"conv_channels": [8, 8], "lstm_hidden": 8, "lstm_layers": 1},
        class_names=EMOTIONS,
        features=FeatureSettings(),
        protocol="Not trained: made for tests.",
        rejection_threshold=0.4,
    )
    loaded = [load_features(voice_wav(1000 + seed), settings=metadata.features) for seed in range(8)]
    voices = [voice.utterances[0] for voice in loaded]
    features = torch.from_numpy(np.stack([fit_length(voice.features, 216) for voice in voices]))
    lengths = torch.tensor([voice.length for voice in voices])
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        recogniser = build_recogniser(metadata).eval()
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
    save_atomically({"state_dict": state, "ser": as_plain(metadata)}, path)
    return path


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> Path:
    """That network as an .onnx file."""
    return export_onnx(checkpoint)


@pytest.fixture(scope="session")
def predict(model: Path) -> Callable[[bytes], Prediction]:
    """What `Predictor` predicts for the bytes of a sound file."""
    return Predictor.load(model).predict


@pytest.fixture(scope="session")
def server(model: Path, screenshots: Path, worker_id: str) -> Iterator[AppServer]:
    """The app, with the .onnx model."""
    with running_app(screenshots / f"server-{worker_id}.log", arguments=[f"--model={model}"]) as running:
        yield running


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory, voice_wav: Callable[..., bytes]) -> Iterator[Browser]:
    """Debian's Chromium, whose microphone plays voice 0."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not on this machine: apt-get install chromium")
    speech = tmp_path_factory.mktemp("microphone") / "speech.wav"
    speech.write_bytes(voice_wav(0))
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
