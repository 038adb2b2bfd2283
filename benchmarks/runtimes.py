"""Prediction by PyTorch and by ONNX Runtime, one thread each: start, memory, and time for one 4 s recording.

    python benchmarks/runtimes.py [--checkpoint NAME] [--root FOLDER] [--runs 3] [--repeats 30]

The time is of a whole prediction, and of what is left of it where nobody searches the recording for speech. Each run is
a process of its own, and the two sides take turns, so that a busy machine slows both; import and load are stated in CPU
time, which it lengthens least. Without a checkpoint the network of the baseline recipe is measured with random weights.
The run fails where the two answers differ.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
from recordings import SAMPLE_RATE, load_waveforms

from ser.corpora.ravdess import EMOTIONS
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain
from ser.inference.checkpoint import PREFIX, save_atomically
from ser.inference.export import export_onnx
from ser.inference.metadata_file import ONNX, SAFETENSORS
from ser.inference.pretrained import find_model
from ser.models.metadata import ModelMetadata
from ser.models.registry import build_recogniser

SECONDS = 4
LARGEST_DIFFERENCE = 1e-5
COLUMNS = {
    "import, CPU s": ("import", 1),
    "load, CPU s": ("load", 1),
    "peak memory, MiB": ("peak_kib", 1 / 1024),
    "first prediction, ms": ("first", 1000),
    "prediction, ms": ("warm", 1000),
    "search apart, ms": ("search_apart", 1000),
    "network alone, ms": ("network", 1000),
}
"""Title -> the figure of a run, and what to multiply it by."""

# The peak is read from /proc, of this program alone: getrusage would hand on that of the process that started it.
PROGRAM = """
import time
start = time.process_time()
import importlib, json, re, statistics, sys
import numpy as np
from pathlib import Path
for module in sys.argv[1].split(","):
    importlib.import_module(module)
from ser.features.extract import fit_length
from ser.audio.io import read_sound
from ser.audio.levels import without_offset
from ser.audio.utterances import Utterance
from ser.features.pipeline import LoadedRecording, input_of
from ser.inference.predictor import Predictor

def seconds_of(work, clock=time.perf_counter):
    start = clock()
    result = work()
    return clock() - start, result

imported = time.process_time() - start
model, recording = Path(sys.argv[2]), Path(sys.argv[3])
load, predictor = seconds_of(lambda: Predictor.load(model), clock=time.process_time)
first, prediction = seconds_of(lambda: predictor.predict(recording))
settings = predictor.metadata.features

def load_known():  # as predict does, but what is said where is known
    sound = read_sound(recording, sample_rate=settings.sample_rate)
    utterance = Utterance(start=0.0, end=sound.duration, speech=sound.duration)
    whole = input_of(utterance, without_offset(sound.waveform), settings)
    return LoadedRecording(utterances=(whole,), speech=sound.duration, duration=sound.duration, warnings=())

utterance = load_known().utterances[0]
known = predictor.predict_loaded([("", load_known())])[0].probabilities
assert np.allclose(known, prediction.probabilities, atol=1e-6), "the answer without the search is another"
batch = fit_length(utterance.features, settings.max_length)[None], np.array([utterance.length])
repeats = range(int(sys.argv[4]))
figures = {
    "import": imported,
    "load": load,
    "first": first,
    "warm": statistics.median(seconds_of(lambda: predictor.predict(recording))[0] for _ in repeats),
    "search_apart": statistics.median(
        seconds_of(lambda: predictor.predict_loaded([("", load_known())]))[0] for _ in repeats
    ),
    "network": statistics.median(seconds_of(lambda: predictor.scorer(*batch))[0] for _ in repeats),
    "peak_kib": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]),
    "probabilities": prediction.probabilities.tolist(),
}
print(json.dumps(figures))
"""


def write_fresh_checkpoint(path: Path) -> Path:
    """Write the network of the baseline recipe with random weights, and return its path."""
    metadata = ModelMetadata(
        architecture="cnn_bilstm_luong",
        network={},
        class_names=EMOTIONS,
        features=FeatureSettings(),
        protocol="Random weights: nothing was learnt.",
    )
    state = {PREFIX + name: tensor for name, tensor in build_recogniser(metadata).state_dict().items()}
    save_atomically({"state_dict": state, "ser": as_plain(metadata)}, path)
    return path


def run_once(modules: str, model: Path, recording: Path, repeats: int) -> dict[str, Any]:
    """Return the figures of one process; see `PROGRAM`."""
    command = [sys.executable, "-c", PROGRAM, modules, str(model), str(recording), str(repeats)]
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return json.loads(done.stdout)


def both_forms(checkpoint: str | None, folder: Path) -> tuple[Path, Path]:
    """Return the model for PyTorch and for ONNX Runtime; what is not there is written to `folder`.

    Raises
    ------
    CheckpointError : `checkpoint` is no pretrained model's name, run's folder, checkpoint or .safetensors file.
    """
    path = find_model(checkpoint) if checkpoint else write_fresh_checkpoint(folder / "fresh.ckpt")
    if path.suffix in (SAFETENSORS, ONNX):
        return path.with_suffix(SAFETENSORS), path.with_suffix(ONNX)
    return path, export_onnx(path, folder / "model.onnx")


def measure(checkpoint: str | None, root: Path | None, *, runs: int, repeats: int) -> dict[str, dict[str, float]]:
    """Return runtime -> the medians of the runs, in the units of `COLUMNS`; AssertionError where the answers differ."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = folder / "recording.wav"
        soundfile.write(recording, np.resize(load_waveforms(root, 1)[0], SECONDS * SAMPLE_RATE), SAMPLE_RATE)
        for_torch, for_onnx = both_forms(checkpoint, folder)
        sides = {
            "PyTorch": ("ser.inference.torch_backend", for_torch),
            "ONNX Runtime": ("onnxruntime,ser.inference.onnx_backend", for_onnx),
        }
        measured: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for _ in range(runs):
            for side, (modules, path) in sides.items():
                measured[side].append(run_once(modules, path, recording, repeats))
    answers = [np.array(figures[0]["probabilities"]) for figures in measured.values()]
    difference = np.abs(answers[0] - answers[1]).max()
    assert difference <= LARGEST_DIFFERENCE, f"the two answers differ by {difference:.1e}"
    return {
        side: {title: factor * median(run[key] for run in figures) for title, (key, factor) in COLUMNS.items()}
        for side, figures in measured.items()
    }


def main() -> dict[str, dict[str, float]]:
    """Measure, print a table, and return its figures."""
    default = os.environ.get("RAVDESS_ROOT")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="a pretrained model's name, a run's folder or a checkpoint")
    parser.add_argument("--root", type=Path, default=Path(default) if default else None, help="the corpus")
    parser.add_argument("--runs", type=int, default=3, help="processes for each runtime")
    parser.add_argument("--repeats", type=int, default=30, help="warm predictions in each")
    options = parser.parse_args()
    table = measure(options.checkpoint, options.root, runs=options.runs, repeats=options.repeats)
    print("| runtime | " + " | ".join(COLUMNS) + " |\n|---" + "|---" * len(COLUMNS) + "|")
    for side, figures in table.items():
        print(f"| {side} | " + " | ".join(f"{value:.3g}" for value in figures.values()) + " |")
    return table


if __name__ == "__main__":
    main()
