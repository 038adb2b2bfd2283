"""Time stretch and pitch shift against `librosa.effects`, on one thread: time and signal to noise ratio.

    python benchmarks/augment.py [--root FOLDER] [--count 200]

Both sides take each recording in turn, so that a busy machine slows both. The reference of the ratio is librosa's own
function in double precision; the run fails where ser is not closer to it than librosa's single precision is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray
from recordings import SAMPLE_RATE, load_waveforms, parse_arguments, print_timings, seconds_of, timing_row
from threadpoolctl import threadpool_limits

from ser.augment.phase_vocoder import pitch_shift, time_stretch

Change = Callable[[NDArray[np.floating]], NDArray[np.floating]]


def decibels(sound: NDArray[np.floating], reference: NDArray[np.float64]) -> float:
    """Return the signal to noise ratio of `sound` against `reference`."""
    noise = np.sum(np.square(sound - reference))
    return float(10 * np.log10(np.sum(np.square(reference)) / max(noise, 1e-300)))


def changes(rng: np.random.Generator) -> dict[str, tuple[Change, Change]]:
    """Return ser's and librosa's function for each change, with strengths drawn as the augmentation draws them."""
    rate, semitones = rng.uniform(0.8, 1.2), rng.uniform(-1, 1)
    return {
        "time stretch": (
            lambda waveform: time_stretch(waveform, rate=rate),
            lambda waveform: librosa.effects.time_stretch(waveform, rate=rate),
        ),
        "pitch shift": (
            lambda waveform: pitch_shift(waveform, semitones=semitones, sample_rate=SAMPLE_RATE),
            lambda waveform: librosa.effects.pitch_shift(waveform, sr=SAMPLE_RATE, n_steps=semitones),
        ),
    }


def measure(root: Path | None, count: int) -> list[dict[str, Any]]:
    """Return a row for each change: the timings, and the lowest signal to noise ratio of either side."""
    rng = np.random.default_rng(0)
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in changes(rng)}
    ratios: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in seconds}
    with threadpool_limits(limits=1):
        waveforms = load_waveforms(root, count)
        for both in changes(rng).values():
            for change in both:
                change(waveforms[0])  # makes and compiles what each side keeps
        for waveform in waveforms:
            for name, both in changes(rng).items():
                reference = both[1](waveform.astype(np.float64))
                for side, change in enumerate(both):
                    taken, sound = seconds_of(lambda change=change, waveform=waveform: change(waveform))
                    seconds[name][side].append(taken)
                    ratios[name][side].append(decibels(sound, reference))
    rows = []
    for name in seconds:
        ours, librosas = map(min, ratios[name])
        assert ours > max(librosas, 100.0), f"{name}: {ours:.0f} dB, librosa {librosas:.0f} dB"
        row = timing_row(name, *seconds[name])
        rows.append(row | {"recordings": count, "ser_snr_db": ours, "librosa_snr_db": librosas})
    return rows


def main() -> list[dict[str, Any]]:
    """Measure, print the tables, and return the rows."""
    arguments = parse_arguments(__doc__)
    rows = measure(arguments.root, arguments.count)
    print_timings(rows)
    print("\n| work | lowest ratio to double precision: ser, dB | librosa, dB |\n|---|---|---|")
    for row in rows:
        print(f"| {row['work']} | {row['ser_snr_db']:.0f} | {row['librosa_snr_db']:.0f} |")
    return rows


if __name__ == "__main__":
    main()
