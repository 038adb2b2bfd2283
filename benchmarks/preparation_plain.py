"""The whole preparation as a script that calls librosa does it: what `preparation.py` measures ser against.

    python benchmarks/preparation_plain.py WORK.json FOLDER

`WORK.json` names the recordings ("train", "validation") and the seed of the augmentation. Of each training recording
there is one augmented copy, with the changes that ser draws for it, made by `librosa.effects`. Two processes.
"""

import json
import sys
import time
from multiprocessing import Pool
from pathlib import Path

import librosa
import numpy as np
from sklearn.preprocessing import StandardScaler

from ser.augment.waveform import recording_rng

SAMPLE_RATE = 22050
N_FRAMES = 216


def change(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the augmented waveform; the draws, and their order, are those of `ser.augment.waveform.augment`."""
    n_steps = rng.integers(1, 3, endpoint=True)
    for step in rng.permutation(4)[:n_steps]:
        if step == 0:
            y = y + np.float32(0.035 * np.abs(y).max()) * rng.standard_normal(len(y), dtype=np.float32)
        elif step == 1:
            y = librosa.effects.time_stretch(y, rate=rng.uniform(0.8, 1.2))
        elif step == 2:
            y = np.roll(y, round(rng.uniform(-2, 2) * SAMPLE_RATE))
        else:
            y = librosa.effects.pitch_shift(y, sr=SAMPLE_RATE, n_steps=rng.uniform(-1, 1))
    return y


def features(y: np.ndarray) -> np.ndarray:
    """Return float32 [187, 216]: MFCC, deltas, chroma, mel, zero crossings and contrast, cut or padded."""
    mfcc = librosa.feature.mfcc(y=y, sr=SAMPLE_RATE, n_mfcc=13)
    rows = [
        mfcc,
        librosa.feature.delta(mfcc),
        librosa.feature.delta(mfcc, order=2),
        librosa.feature.chroma_stft(y=y, sr=SAMPLE_RATE),
        librosa.feature.melspectrogram(y=y, sr=SAMPLE_RATE),
        librosa.feature.zero_crossing_rate(y),
        librosa.feature.spectral_contrast(y=y, sr=SAMPLE_RATE),
    ]
    return librosa.util.fix_length(np.vstack(rows), size=N_FRAMES).astype(np.float32)


def prepare(task: tuple[str, bool, int]) -> list[np.ndarray]:
    """Return the features of a recording and, where it is trained on, of its augmented copy."""
    path, train, seed = task
    y, _ = librosa.load(path, sr=SAMPLE_RATE)
    if not train:
        return [features(y)]
    return [features(y), features(change(y, recording_rng(seed=seed, name=Path(path).stem, copy=1)))]


def main() -> None:
    """Prepare, scale, store, and print the seconds that it took; imports do not count."""
    started = time.perf_counter()
    work, folder = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    tasks = [(path, part == "train", work["seed"]) for part in ("train", "validation") for path in work[part]]
    with Pool(2) as pool:
        made = pool.map(prepare, tasks)
    train, validation = made[: len(work["train"])], made[len(work["train"]) :]
    unchanged, copies = zip(*train, strict=True)
    columns = np.stack([*unchanged, *copies, *(one for (one,) in validation)])
    columns, n_train = columns.reshape(len(columns), -1), 2 * len(train)
    scaler = StandardScaler().fit(columns[:n_train])
    np.save(folder / "features.npy", scaler.transform(columns))
    np.savez(folder / "scaler.npz", mean=scaler.mean_, scale=scaler.scale_)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
