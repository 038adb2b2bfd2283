"""What the benchmarks measure on, and how: recordings of the real corpus where there is one, and paired timings."""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ser.corpora.ravdess import EMOTIONS, RecordingName
from ser.corpora.synthetic import SyntheticSettings, synthesize, write_synthetic_corpus

SAMPLE_RATE = 22050
PROJECT = Path(__file__).resolve().parents[1]

Item = TypeVar("Item")


def load_waveforms(root: Path | None, count: int) -> list[NDArray[np.float32]]:
    """Return `count` waveforms, float32 `[samples]` at `SAMPLE_RATE`, spread over the corpus in `root`.

    Without a corpus they are sentences of synthetic voices, of 3 to 5 seconds.
    """
    if root is None:
        return [_voice(seconds=3 + 2 * place / count, seed=place) for place in range(count)]
    paths = sorted(path for path in root.rglob("03-0*") if path.suffix in (".flac", ".wav"))
    waveforms = []
    for path in spread(paths, count):
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        waveforms.append(soxr.resample(sound.mean(axis=1), rate, SAMPLE_RATE))
    return waveforms


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long `work` took, and what it returned."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def timing_row(name: str, ours: list[float], librosas: list[float]) -> dict[str, Any]:
    """Return the medians in milliseconds, and the median ratio of the two sides on the same recording."""
    return {
        "work": name,
        "ser_ms": 1000 * median(ours),
        "librosa_ms": 1000 * median(librosas),
        "ratio": median(theirs / mine for mine, theirs in zip(ours, librosas, strict=True)),
    }


def print_timings(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a Markdown table."""
    print("| work | ser, ms | librosa, ms | times as fast |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['work']} | {row['ser_ms']:.2f} | {row['librosa_ms']:.2f} | {row['ratio']:.1f} |")


def profile_table(steps: dict[str, list[float]]) -> str:
    """Return the milliseconds of each step by numpy and by compiled loops, and its share of the latter, as Markdown."""
    whole = steps["all"][1]
    lines = ["| step | numpy alone, ms | compiled, ms | share |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {by_numpy:.2f} | {by_loops:.2f} | {100 * by_loops / whole:.0f}% |"
        for name, (by_numpy, by_loops) in steps.items()
    ]
    return "\n".join(lines)


def parser_of(description: str, *, count: int) -> argparse.ArgumentParser:
    """Return a parser of `--root`, a folder or None, and `--count`."""
    default = os.environ.get("RAVDESS_ROOT")
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(default) if default else None, help="the corpus")
    parser.add_argument("--count", type=int, default=count, help="recordings to measure on")
    return parser


def parse_arguments(description: str) -> argparse.Namespace:
    """Return `root`, a folder or None, and `count`."""
    return parser_of(description, count=200).parse_args()


def corpus_in(root: Path | None, folder: Path) -> Path:
    """Return `root`, or without one a small synthetic corpus that is written below `folder`."""
    if root is not None:
        return root.resolve()
    return write_synthetic_corpus(folder / "synthetic", SyntheticSettings(n_actors=3, n_statements=1, n_repetitions=1))


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` of `items`, or all if there are fewer, spread evenly over them."""
    count = min(count, len(items))
    return [items[place] for place in np.linspace(0, len(items), count, endpoint=False).astype(int)]


def one_thread() -> dict[str, str]:
    """Return the environment of a process whose BLAS and OpenMP keep to one thread, and which can import ser."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return importing_ser() | threads


def importing_ser() -> dict[str, str]:
    """Return the environment of a process that imports ser from this folder, installed or not."""
    return os.environ | {"PYTHONPATH": str(PROJECT)}


def _voice(*, seconds: float, seed: int) -> NDArray[np.float32]:
    name = RecordingName("speech", EMOTIONS[seed % len(EMOTIONS)], "strong", 1, 1, 1 + seed % 24)
    sentence = synthesize(name, seed=seed)
    return np.tile(sentence, 1 + round(seconds * SAMPLE_RATE) // len(sentence))[: round(seconds * SAMPLE_RATE)]
