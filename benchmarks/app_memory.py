"""Memory of the app's server with visitors at work at the same moment, on ONNX Runtime and on PyTorch.

    python benchmarks/app_memory.py [--checkpoint FOLDER] [--root FOLDER] [--visitors 5] [--long 1]

Each visitor has a Chromium profile of its own. `--long` of them upload ten minutes in a WAV file of 19 MB, the others
four recordings each, and all of it reaches the server at once. Every answer is compared with that of `Predictor`. The
memory is that of the server with all its processes, read from /proc: RSS, and twenty times a second PSS, which leaves
out what it shares with other programs. The run fails where a prediction is wrong or a peak is over its limit. Without a
checkpoint the network of the baseline recipe is measured with random weights, without a corpus on synthetic voices.
"""

import argparse
import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
from app_server import running_app
from app_visitor import confidences, expected_confidences, launch_chromium, upload_together, visit, wait_until_idle
from process_memory import family, high_water, memory_of
from recordings import SAMPLE_RATE, load_waveforms
from runtimes import write_fresh_checkpoint

from ser.inference.export import export_onnx
from ser.inference.predictor import Predictor

LIMITS_MB = {"ONNX Runtime": 600, "PyTorch": 900}
LONG_SECONDS, LONG_RATE = 599, 16_000
FILES = 4
_SECONDS_BETWEEN_LOOKS = 0.05


class Peak:
    """The most memory that a process and its children were seen to hold, in bytes: `rss` and `pss`."""

    def __init__(self) -> None:
        self.rss = self.pss = 0

    def look(self, process: int) -> None:
        """Read what they hold now."""
        used = [memory_of(one) for one in family(process)]
        self.rss = max(self.rss, sum(rss for rss, _ in used))
        self.pss = max(self.pss, sum(pss for _, pss in used))


@contextmanager
def watched_memory(process: int) -> Iterator[Peak]:
    """Look at the memory of `process` all the while; the peak is complete at the end."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(_SECONDS_BETWEEN_LOOKS):
            peak.look(process)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
    peak.rss = max(peak.rss, sum(high_water(one) for one in family(process)))


def make_uploads(root: Path | None, *, visitors: int, long: int) -> list[dict[str, bytes]]:
    """Return the files of each visitor, by name."""
    waveforms = load_waveforms(root, 40)
    lengthy = np.resize(soxr.resample(np.concatenate(waveforms), SAMPLE_RATE, LONG_RATE), LONG_SECONDS * LONG_RATE)
    uploads = []
    for number in range(visitors):
        if number < long:
            uploads.append({"ten-minutes.wav": wav_bytes(np.roll(lengthy, number * LONG_RATE), LONG_RATE)})
            continue
        chosen = [waveforms[(FILES * number + place) % len(waveforms)] for place in range(FILES)]
        uploads.append({f"{place}.wav": wav_bytes(wave, SAMPLE_RATE) for place, wave in enumerate(chosen)})
    return uploads


def wav_bytes(waveform: np.ndarray, rate: int) -> bytes:
    """Return a 16-bit WAV file."""
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def measure(model: Path, uploads: list[dict[str, bytes]], folder: Path) -> tuple[Peak, Peak]:
    """Return the memory of a server with one page open, and its peak while all visitors are at work."""
    expected = [expected_answer(Predictor.load(model), files) for files in uploads]
    with (
        running_app(folder / "server.log", arguments=[f"--model={model}"]) as server,
        launch_chromium() as browser,
    ):
        pages = [visit(browser.new_context(), server.url) for _ in uploads]
        for page in pages:
            wait_until_idle(page)
        idle = Peak()
        idle.look(server.process.pid)
        with watched_memory(server.process.pid) as busy:
            upload_together(list(zip(pages, uploads, strict=True)))
            for page, answer in zip(pages, expected, strict=True):
                assert confidences(page) == answer, "a visitor got another answer than that of Predictor"
                wait_until_idle(page)
    return idle, busy


def expected_answer(predictor: Predictor, files: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return what the page should show: the answer to the first file."""
    name, content = next(iter(files.items()))
    return expected_confidences(predictor.predict(content, name=name))


def main() -> int:
    """Measure both runtimes, print a table; return 1 where a peak is over its limit."""
    default = os.environ.get("RAVDESS_ROOT")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="a run's folder or a checkpoint")
    parser.add_argument("--root", type=Path, default=Path(default) if default else None, help="the corpus")
    parser.add_argument("--visitors", type=int, default=5)
    parser.add_argument("--long", type=int, default=1, help="how many of them upload ten minutes")
    options = parser.parse_args()
    uploads = make_uploads(options.root, visitors=options.visitors, long=options.long)
    print("| runtime | pages open, RSS MB | peak RSS, MB | peak PSS, MB | limit, MB |\n|---|---|---|---|---|")
    within = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = options.checkpoint or write_fresh_checkpoint(folder / "fresh.ckpt")
        sides = {"ONNX Runtime": export_onnx(checkpoint, folder / "model.onnx"), "PyTorch": checkpoint}
        for side, model in sides.items():
            idle, busy = measure(model, uploads, folder)
            figures = " | ".join(f"{bytes_ / 1e6:.0f}" for bytes_ in (idle.rss, busy.rss, busy.pss))
            print(f"| {side} | {figures} | {LIMITS_MB[side]} |", flush=True)
            within = within and busy.rss < LIMITS_MB[side] * 1e6
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
