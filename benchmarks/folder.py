"""Scoring a folder by two processes, by PyTorch and by ONNX Runtime: recordings a second.

    python benchmarks/folder.py [--root FOLDER] [--count 1000] [--runs 3] [--checkpoint FOLDER]

The model is loaded before the clock starts; the start of the workers counts. Without a checkpoint it is the baseline
recipe's network with random weights. The run fails where the two runtimes' answers differ, or an answer differs from
that for the recording alone.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from recordings import corpus_in, importing_ser, parser_of, spread
from runtimes import LARGEST_DIFFERENCE, write_fresh_checkpoint

from ser.audio.folder import find_sound_files
from ser.inference.export import export_onnx

PROGRAM = """
import json, sys
from pathlib import Path
from time import perf_counter
from ser.inference.predictor import Predictor

def answer(prediction):  # NaN: no speech was found
    p = prediction.probabilities
    return [float("nan")] * len(prediction.class_names) if p is None else p.tolist()

predictor = Predictor.load(Path(sys.argv[1]))
paths = [Path(path) for path in json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))]
alone = [answer(predictor.predict(path)) for path in paths[:4]]
started = perf_counter()
predictions, failures = predictor.predict_files(paths, workers=2)
seconds = perf_counter() - started
assert not failures, failures
answers = [answer(prediction) for prediction in predictions]
print(json.dumps({"seconds": seconds, "answers": answers, "alone": alone}))
"""


def run_once(model: Path, listing: Path) -> dict[str, Any]:
    """Return the seconds of one process, its answers, and those for the first recordings alone."""
    command = [sys.executable, "-c", PROGRAM, str(model), str(listing)]
    done = subprocess.run(command, env=importing_ser(), check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    result = json.loads(done.stdout)
    _compare(result["answers"][: len(result["alone"])], result["alone"], "in a folder and alone")
    return result


def measure(root: Path | None, *, checkpoint: Path | None, count: int, runs: int) -> list[dict[str, Any]]:
    """Return a row for each runtime: recordings a second, the median of the runs, which take turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = spread(find_sound_files(corpus_in(root, folder)), count)
        listing = folder / "paths.json"
        listing.write_text(json.dumps(list(map(str, paths))), encoding="utf-8")
        checkpoint = checkpoint or write_fresh_checkpoint(folder / "fresh.ckpt")
        models = {"PyTorch": checkpoint, "ONNX Runtime": export_onnx(checkpoint, folder / "model.onnx")}
        results: dict[str, list[dict[str, Any]]] = {runtime: [] for runtime in models}
        for _ in range(runs):
            for runtime, model in models.items():
                results[runtime].append(run_once(model, listing))
    _compare(*(figures[0]["answers"] for figures in results.values()), "of the two runtimes")
    return [
        {
            "runtime": runtime,
            "recordings": len(paths),
            "recordings/s": len(paths) / median(run["seconds"] for run in figures),
        }
        for runtime, figures in results.items()
    ]


def _compare(answers: list[list[float]], others: list[list[float]], what: str) -> None:
    ours, theirs = np.array(answers), np.array(others)
    assert np.array_equal(np.isnan(ours), np.isnan(theirs)), f"speech was found by one of the two alone {what}"
    difference = np.nanmax(np.abs(ours - theirs))
    assert difference <= LARGEST_DIFFERENCE, f"the answers {what} differ by {difference:.1e}"


def main() -> list[dict[str, Any]]:
    """Measure, print a table, and return its rows."""
    parser = parser_of(__doc__, count=1000)
    parser.add_argument("--checkpoint", type=Path, help="a run's folder or a checkpoint")
    parser.add_argument("--runs", type=int, default=3, help="processes for each runtime")
    options = parser.parse_args()
    rows = measure(options.root, checkpoint=options.checkpoint, count=options.count, runs=options.runs)
    print("| runtime | recordings | recordings/s |\n|---|---|---|")
    for row in rows:
        print(f"| {row['runtime']} | {row['recordings']} | {row['recordings/s']:.0f} |")
    return rows


if __name__ == "__main__":
    main()
