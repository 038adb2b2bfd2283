"""The search for speech against a small detector over cheap features: what each misses, what each makes up, and time.

    python benchmarks/speech_search.py [--root FOLDER] [--count 240]

The small detector is a logistic regression over the level above the floor, voicing, flatness, the balance of bands and
the modulation of each frame, trained on actors 1 to 12 and on sounds without speech of even seeds. Both sides, and
Silero's network alone, are measured on actors 13 to 24 and odd seeds. Without a corpus its voices are synthetic.
"""

import sys
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from recordings import PROJECT, parser_of, spread
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ser.audio.silero import SAMPLE_RATE, speech_probabilities
from ser.audio.voice_activity import find_speech
from ser.corpora.ravdess import parse_stem
from ser.corpora.synthetic import SAMPLE_RATE as SYNTHETIC_RATE
from ser.corpora.synthetic import synthesize

sys.path.insert(0, str(PROJECT))
from tests.non_speech import KINDS, make_non_speech

HOP = 512
WINDOW = 1024
ENOUGH = 0.3
"""Seconds of speech below which none counts as found."""
TRAINING_SEEDS, TEST_SEEDS = (0, 2), (1, 3)
Waveform = NDArray[np.float32]
Detector = Callable[[Waveform], float]
"""Of a waveform at `SAMPLE_RATE`, the seconds of speech in it."""


def load_voices(root: Path | None, count: int, actors: Sequence[int]) -> list[Waveform]:
    """Return up to `count` recordings of speech by these actors, float32 [samples] at `SAMPLE_RATE`."""
    if root is None:
        stems = [f"03-01-0{e}-01-01-0{take}-{actor:02}" for actor in actors for e in range(1, 9) for take in (1, 2)]
        sounds = [synthesize(name) for name in map(parse_stem, spread(stems, count)) if name is not None]
        return [soxr.resample(sound, SYNTHETIC_RATE, SAMPLE_RATE) for sound in sounds]
    paths = [path for path in sorted(root.rglob("03-01-*")) if path.suffix in (".flac", ".wav")]
    voices = []
    for path in spread([path for path in paths if int(path.stem[-2:]) in actors], count):
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        voices.append(soxr.resample(sound.mean(axis=1), rate, SAMPLE_RATE))
    return voices


def load_others(seeds: Sequence[int]) -> list[Waveform]:
    """Return the sounds without speech of these seeds, float32 [samples] at `SAMPLE_RATE`."""
    made = [make_non_speech(kind, seed) for kind in KINDS for seed in seeds]
    return [soxr.resample(sound, rate, SAMPLE_RATE) for sound, rate in made]


def frame_features(waveform: Waveform) -> NDArray[np.float64]:
    """Return the cheap features of each frame, float64 [frames, 12]: those of it, and their mean over half a second."""
    padded = np.pad(waveform - waveform.mean(), (WINDOW // 2, WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: len(waveform) : HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, 2 * WINDOW)) ** 2 + 1e-12
    level = 10 * np.log10(power.sum(axis=1))
    correlation = np.fft.irfft(power)[:, SAMPLE_RATE // 400 : SAMPLE_RATE // 70]
    voicing = correlation.max(axis=1) / power.mean(axis=1)
    lines = power[:, 40:640]
    flatness = np.log(lines).mean(axis=1) - np.log(lines.mean(axis=1))
    edges = np.array([8, 64, 256, 640, WINDOW])
    bands = 10 * np.log10(np.add.reduceat(power, edges, axis=1)[:, :-1])
    modulation = np.abs(np.diff(level, prepend=level[0]))
    own = np.column_stack([level - np.percentile(level, 10), voicing, flatness, *np.diff(bands, axis=1).T, modulation])
    kernel = np.ones(17) / 17
    around = np.column_stack([np.convolve(column, kernel, mode="same") for column in own[:, [1, 2, 3, 4, 6]].T])
    return np.column_stack([own, around])


def train_small_detector(voices: Sequence[Waveform], others: Sequence[Waveform]) -> tuple[Pipeline, float]:
    """Return the classifier, and the lowest threshold at which it finds speech in none of 50 of the other sounds.

    A frame of a voice counts as speech where it is 15 dB above the floor, and as none where it is below 6 dB.
    """
    features, labels = [], []
    for voice in voices:
        rows = frame_features(voice)
        clear = (rows[:, 0] > 15) | (rows[:, 0] < 6)
        features.append(rows[clear])
        labels.append(rows[clear, 0] > 15)
    for other in others:
        rows = frame_features(other)[::4]
        features.append(rows)
        labels.append(np.zeros(len(rows), dtype=bool))
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    model.fit(np.concatenate(features), np.concatenate(labels))
    chances = [model.predict_proba(frame_features(other))[:, 1] for other in others]
    for threshold in np.arange(0.5, 1.0, 0.02):
        if sum(seconds_above(chance, float(threshold)) >= ENOUGH for chance in chances) <= len(others) / 50:
            break
    return model, float(threshold)


def seconds_above(probabilities: NDArray[Any], threshold: float) -> float:
    """Return the seconds in stretches of 0.2 s or more above a threshold."""
    lengths = [len(list(run)) for above, run in groupby(probabilities > threshold) if above]
    return sum(length for length in lengths if length * HOP >= 0.2 * SAMPLE_RATE) * HOP / SAMPLE_RATE


def detectors(voices: Sequence[Waveform], others: Sequence[Waveform]) -> dict[str, Detector]:
    """Return the detectors by name, the small one trained on these sounds."""
    model, threshold = train_small_detector(voices, others)
    return {
        "find_speech": lambda sound: sum(span.end - span.start for span in find_speech(sound, sample_rate=SAMPLE_RATE)),
        "Silero's network alone": lambda sound: seconds_above(speech_probabilities(_levelled(sound)), 0.5),
        "small detector": lambda sound: seconds_above(model.predict_proba(frame_features(sound))[:, 1], threshold),
    }


def _levelled(sound: Waveform) -> Waveform:
    centred = sound - sound.mean()
    return centred / np.float32(max(np.abs(centred).max(), 1e-9))


def measure(root: Path | None, count: int) -> list[dict[str, Any]]:
    """Return a row for each detector: fractions missed and made up, and milliseconds of CPU time for 4 s of sound."""
    with threadpool_limits(limits=1):
        sides = detectors(load_voices(root, count, range(1, 13)), load_others(TRAINING_SEEDS))
        voices, others = load_voices(root, count, range(13, 25)), load_others(TEST_SEEDS)
        return [
            {
                "detector": name,
                "missed": sum(find(voice) < ENOUGH for voice in voices),
                "voices": len(voices),
                "made_up": sum(find(other) >= ENOUGH for other in others),
                "others": len(others),
                "ms": median(milliseconds(find, np.resize(voice, 4 * SAMPLE_RATE)) for voice in voices[:50]),
            }
            for name, find in sides.items()
        ]


def milliseconds(find: Detector, sound: Waveform) -> float:
    """Return the CPU time of a search, in ms."""
    start = time.thread_time()
    find(sound)
    return 1000 * (time.thread_time() - start)


def main() -> list[dict[str, Any]]:
    """Measure, print the table, and return the rows."""
    arguments = parser_of(__doc__ or "", count=240).parse_args()
    rows = measure(arguments.root, arguments.count)
    print("| detector | voices missed | speech found in sounds without | ms for 4 s |\n|---|---|---|---|")
    for row in rows:
        missed, made_up = f"{row['missed']} of {row['voices']}", f"{row['made_up']} of {row['others']}"
        print(f"| {row['detector']} | {missed} | {made_up} | {row['ms']:.1f} |")
    return rows


if __name__ == "__main__":
    main()
