"""The whole preparation (read, augment, extract, scale, store) against the plain librosa script, two processes each.

    python benchmarks/preparation.py [--root FOLDER] [--count 800] [--turns 3]

Of every five recordings four are trained on, with one augmented copy each, and one is held out. Both sides start as
programs of their own, in turn, with nothing in ser's cache; imports do not count, the start of workers does. The run
fails where the features of unchanged recordings differ, or where more than one augmented copy in twenty is further
apart than librosa's single precision puts it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from recordings import corpus_in, one_thread, parser_of, spread

from ser.corpora.reading import find_recordings
from ser.features.settings import FeatureSettings, rows_of

SEED = 42
LARGEST_DIFFERENCE = 1e-5
"""As a fraction of the largest value of the group."""
LOWEST_SNR_DB = 30.0
"""Of the mel spectrograms of 95% of the augmented copies; other draws give about 0. A few, stretched as well as shifted
in pitch, are not settled by single precision: librosa's own answer in it is as far from its answer in double."""

PLAIN = Path(__file__).with_name("preparation_plain.py")
OURS = """
import json, sys
from pathlib import Path
from time import perf_counter
import numpy as np
from ser.augment.waveform import AugmentSettings
from ser.corpora.ravdess import parse_stem
from ser.features.settings import FeatureSettings
from ser.data.cache import prepare
from ser.data.recipe import Recipe, Sample
from ser.data.normalisation import fit_per_coefficient

started = perf_counter()
work, folder = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])

def samples(part, copy=0):
    paths = map(Path, work[part])
    return [Sample(recording=parse_stem(path.stem).recording(path), copy=copy) for path in paths]

recipe = Recipe(features=FeatureSettings(), augment=AugmentSettings(), augment_seed=work["seed"])
everything = [*samples("train"), *samples("train", 1), *samples("validation")]
prepared = prepare(everything, recipe, cache_dir=folder / "cache", workers=2)
assert not prepared.failures, prepared.failures
scaler = fit_per_coefficient(prepared.features[: 2 * len(work["train"])])
columns = prepared.features.reshape(len(everything), -1)
columns -= scaler.mean_.astype(np.float32)
columns /= scaler.scale_.astype(np.float32)
np.save(folder / "features.npy", columns)
np.savez(folder / "scaler.npz", mean=scaler.mean_, scale=scaler.scale_)
print(perf_counter() - started)
"""


def run_side(command: list[str], work: Path) -> tuple[float, NDArray[np.float32]]:
    """Return the seconds that one side took, and its features with the scaling undone, [samples, 187, 216]."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603
            [sys.executable, *command, str(work), folder],
            env=one_thread(),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        scaler = np.load(Path(folder) / "scaler.npz")
        columns = np.load(Path(folder) / "features.npy") * scaler["scale"] + scaler["mean"]
    return float(done.stdout), columns.astype(np.float32).reshape(len(columns), -1, FeatureSettings().max_length)


def disagreement(ours: NDArray[np.float32], plain: NDArray[np.float32], *, n_train: int) -> dict[str, float]:
    """Return the largest difference among unchanged recordings, and the ratios in dB of the augmented copies.

    AssertionError where either is beyond its limit.
    """
    as_they_are = np.r_[0:n_train, 2 * n_train : len(ours)]
    rows = rows_of(FeatureSettings())
    difference = max(
        float(np.abs(ours[as_they_are, chosen] - plain[as_they_are, chosen]).max() / np.abs(plain[:, chosen]).max())
        for chosen in rows.values()
    )
    mel, expected = (side[n_train : 2 * n_train, rows["mel"]].astype(np.float64) for side in (ours, plain))
    noise = np.square(mel - expected).sum(axis=(1, 2))
    snr = 10 * np.log10(np.square(expected).sum(axis=(1, 2)) / np.maximum(noise, 1e-30))
    assert difference <= LARGEST_DIFFERENCE, f"features differ by {difference:.1e}"
    low, middle = np.percentile(snr, [5, 50])
    assert low >= LOWEST_SNR_DB, f"one augmented copy in twenty is {low:.0f} dB or less from librosa's"
    far = int(np.count_nonzero(snr < LOWEST_SNR_DB))
    return {"difference": difference, "snr_db": float(middle), "low_snr_db": float(low), "copies_apart": far}


def measure(root: Path | None, *, count: int, turns: int) -> list[dict[str, Any]]:
    """Return one row: seconds of both sides, the ratio of each turn's median, and how far the answers differ."""
    sides = {"ser": ["-c", OURS], "plain": [str(PLAIN)]}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings = spread(find_recordings(corpus_in(root, folder)), count)
        paths = [str(recording.path) for recording in recordings]
        train, validation = [path for place, path in enumerate(paths) if place % 5 != 4], paths[4::5]
        work = folder / "work.json"
        work.write_text(json.dumps({"train": train[:4], "validation": validation[:1], "seed": SEED}), encoding="utf-8")
        for command in sides.values():
            run_side(command, work)  # compiles what librosa keeps, and brings the libraries into memory
        work.write_text(json.dumps({"train": train, "validation": validation, "seed": SEED}), encoding="utf-8")
        for _ in range(turns):
            features = {}
            for side, command in sides.items():
                taken, features[side] = run_side(command, work)
                seconds[side].append(taken)
            found = disagreement(features["ser"], features["plain"], n_train=len(train))
    ratio = median(theirs / mine for mine, theirs in zip(seconds["ser"], seconds["plain"], strict=True))
    row = {"work": "whole preparation", "recordings": len(paths), "copies": len(train)}
    return [row | {"ser_s": median(seconds["ser"]), "plain_s": median(seconds["plain"]), "ratio": ratio} | found]


def main() -> list[dict[str, Any]]:
    """Measure, print a table, and return its row."""
    parser = parser_of(__doc__, count=800)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    rows = measure(options.root, count=options.count, turns=options.turns)
    print("| recordings | copies | ser, s | plain script, s | times as fast | largest difference | copies, dB |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['recordings']} | {row['copies']} | {row['ser_s']:.1f} | {row['plain_s']:.1f} | {row['ratio']:.1f} "
            f"| {row['difference']:.1e} | {row['snr_db']:.0f} |"
        )
    return rows


if __name__ == "__main__":
    main()
