"""The 187 features of a recording against direct librosa calls, on one thread: time, where it goes, and agreement.

    python benchmarks/features.py [--root FOLDER] [--count 200]

Both sides take each recording in turn, so that a busy machine slows both. The features are measured by compiled loops,
as a corpus is prepared, and what each step takes also by numpy alone, as in a process with few recordings. The run
fails where a difference is too large.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray
from recordings import (
    SAMPLE_RATE,
    load_waveforms,
    parse_arguments,
    print_timings,
    profile_table,
    seconds_of,
    timing_row,
)
from threadpoolctl import threadpool_limits

from ser.features._analysis import Analysis
from ser.features._stft import power_spectrum
from ser.features._tuning import estimate_tuning
from ser.features.compiled import load_compiled
from ser.features.extract import extract
from ser.features.settings import FeatureSettings, rows_of

LARGEST_DIFFERENCE = {
    "mfcc": 1e-6,
    "delta": 1e-5,
    "delta2": 1e-5,
    "chroma": 1e-6,
    "mel": 1e-6,
    "zcr": 0.0,
    "contrast": 1e-6,
}
"""As a fraction of the largest value of the group in the recording."""

STEPS = {
    "frames, transform, power": lambda analysis: analysis.power,
    "mel": lambda analysis: analysis.mel,
    "mfcc": lambda analysis: analysis.mfcc,
    "delta, delta2": lambda analysis: analysis.deltas,
    "chroma and its tuning": Analysis.chroma,
    "zcr": Analysis.zero_crossing_rate,
    "contrast": Analysis.contrast,
}
"""In the order in which they use one another."""


def cpu_seconds_of(work: Callable[[], Any]) -> float:
    """Return the CPU time of `work`: steps are so short that what interrupts one would be all of its time."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def milliseconds_of_steps(waveforms: Sequence[NDArray[np.float32]], settings: FeatureSettings) -> dict[str, float]:
    """Return the median CPU time of each step, and of the features as a whole under "all"."""
    seconds: dict[str, list[float]] = {name: [] for name in [*STEPS, "all"]}
    for waveform in waveforms:
        analysis = Analysis(waveform, settings)
        for name, step in STEPS.items():
            seconds[name].append(cpu_seconds_of(lambda analysis=analysis, step=step: step(analysis)))
        seconds["all"].append(cpu_seconds_of(lambda waveform=waveform: extract(waveform, settings)))
    return {name: 1000 * median(times) for name, times in seconds.items()}


def librosa_features(waveform: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return each group by librosa, with the settings of the baseline recipe."""
    mfcc = librosa.feature.mfcc(y=waveform, sr=SAMPLE_RATE, n_mfcc=13)
    return {
        "mfcc": mfcc,
        "delta": librosa.feature.delta(mfcc),
        "delta2": librosa.feature.delta(mfcc, order=2),
        "chroma": librosa.feature.chroma_stft(y=waveform, sr=SAMPLE_RATE),
        "mel": librosa.feature.melspectrogram(y=waveform, sr=SAMPLE_RATE),
        "zcr": librosa.feature.zero_crossing_rate(waveform),
        "contrast": librosa.feature.spectral_contrast(y=waveform, sr=SAMPLE_RATE),
    }


def tunings_differ(waveform: NDArray[np.float32]) -> bool:
    """Return whether the two estimates of the tuning differ at all."""
    power = power_spectrum(waveform, n_fft=2048, hop_length=512)
    ours = estimate_tuning(power, sample_rate=SAMPLE_RATE, n_fft=2048, n_chroma=12)
    return ours != librosa.estimate_tuning(S=np.abs(librosa.stft(waveform)) ** 2, sr=SAMPLE_RATE)


def measure(root: Path | None, count: int) -> list[dict[str, Any]]:
    """Return one row: timings of all and of the steps, the largest difference of each group, tunings that differ."""
    settings = FeatureSettings()
    differences = dict.fromkeys(settings.groups, 0.0)
    ours, librosas, mismatches = [], [], 0
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa warns of a silent recording
        waveforms = load_waveforms(root, count)
        extract(waveforms[0], settings)
        by_numpy = milliseconds_of_steps(waveforms, settings)
        load_compiled()  # as the preparation of a corpus does
        extract(waveforms[0], settings), librosa_features(waveforms[0])  # makes and compiles what each side keeps
        by_loops = milliseconds_of_steps(waveforms, settings)
        for waveform in waveforms:
            seconds, features = seconds_of(lambda waveform=waveform: extract(waveform, settings))
            ours.append(seconds)
            seconds, expected = seconds_of(lambda waveform=waveform: librosa_features(waveform))
            librosas.append(seconds)
            mismatches += tunings_differ(waveform)
            for group, rows in rows_of(settings).items():
                difference = np.abs(features[rows] - expected[group].astype(np.float32)).max()
                relative = float(difference / max(np.abs(expected[group]).max(), 1e-30))
                differences[group] = max(differences[group], relative)
    for group, difference in differences.items():
        assert difference <= LARGEST_DIFFERENCE[group], f"{group} differs by {difference:.1e}"
    assert mismatches == 0, f"{mismatches} tunings differ"
    row = timing_row("187 features", ours, librosas)
    steps = {name: [by_numpy[name], by_loops[name]] for name in by_numpy}
    row |= {"recordings": count, "steps": steps}
    return [row | {"differences": differences, "tuning_mismatches": int(mismatches)}]


def main() -> list[dict[str, Any]]:
    """Measure, print the tables, and return the rows."""
    arguments = parse_arguments(__doc__)
    rows = measure(arguments.root, arguments.count)
    print_timings(rows)
    print("\n" + profile_table(rows[0]["steps"]))
    print("\n| group | largest difference from librosa, as a fraction of the group's largest value |\n|---|---|")
    for group, difference in rows[0]["differences"].items():
        print(f"| {group} | {f'{difference:.1e}' if difference else 'none, to the bit'} |")
    print(f"\n{rows[0]['tuning_mismatches']} of {rows[0]['recordings']} tunings differ.")
    return rows


if __name__ == "__main__":
    main()
