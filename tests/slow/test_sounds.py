"""Hostile sound files: a valid sound or an AudioError that names the file, and nothing else.

Each may take 256 MiB of memory and 10 s of the processor's time. `hostile_sound(seed, place)` makes a file
that failed once more.
"""

import json
import math
import resource
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ser.audio.io import MAX_SECONDS, MIN_SECONDS, SILENCE_PEAK, read_sound
from ser.audio.levels import MAX_PEAK
from ser.errors import AudioError
from tests.command_line import typed, users_environment
from tests.slow.attacks import limits
from tests.slow.hostile_files import RATE, harmless
from tests.slow.hostile_sounds import DAMAGES, MAKERS, hostile_sound

REASONS = (
    "is empty", "it is no sound file", "ffmpeg", "damaged header", "of encoding",
    "no data chunk", "no format before", "samples of format", "holds no WAVE", "cut short",
    "has a rate of", "channels; 1 to", "lasts longer than", "lasts ", "not numbers", "times full scale", "is silent",
    "holds no sound", "cannot be read as sound",
)  # fmt: skip
"""Part of a message -> what the refusal is counted as; the first that fits."""


def outcome(content: bytes | Path, name: str) -> str:
    """Return "accepted" or the reason of a refusal; whatever else comes fails."""
    try:
        with limits(seconds=10, n_bytes=2**28):
            sound = read_sound(content, sample_rate=RATE, name=name)
    except AudioError as refusal:
        message = str(refusal)
        assert name in message
        assert "\n" not in message
        assert len(message) <= 500
        return next(part for part in REASONS if part in message)
    assert sound.waveform.dtype == np.float32
    assert sound.sample_rate == RATE
    assert MIN_SECONDS <= sound.duration <= MAX_SECONDS
    assert sound.waveform.shape == (pytest.approx(sound.duration * RATE, abs=1),)
    assert np.isfinite(sound.waveform).all()
    assert math.isclose(sound.peak, np.abs(sound.waveform).max())
    assert SILENCE_PEAK <= sound.peak <= 2 * MAX_PEAK
    return "accepted"


def test_hostile_files_are_sounds_or_refused(times, tmp_path):
    """Every fourth is read from disk. With `-s` the figures are shown."""
    counts: Counter[str] = Counter()
    slowest = (0.0, "")
    for place in range(500 * times):
        file = hostile_sound(6, place)
        name = f"number-{place}{file.suffix}"
        (tmp_path / name).write_bytes(file.content)
        began = time.process_time()
        counts[outcome(file.content if place % 4 else tmp_path / name, name)] += 1
        slowest = max(slowest, (time.process_time() - began, f"{name}, {file.kind}"))
        (tmp_path / name).unlink()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\n{counts.total()} files: {dict(counts.most_common())}; slowest {slowest}; peak of the process {peak:.0f} MiB"
    )
    assert len(counts) >= 8
    assert 0 < counts["accepted"] < 0.6 * counts.total()  # else something else is wrong


def test_every_kind_is_made_again_and_what_is_not_spoilt_can_be_read():
    made = [hostile_sound(0, place) for place in range(1_500)]
    assert made[700:710] == [hostile_sound(0, place) for place in range(700, 710)]
    assert {sound.kind.partition(",")[0] for sound in made} == set(MAKERS)
    assert {sound.kind.partition(", ")[2] for sound in made} == {"", *DAMAGES}
    for kind in ("FLAC", "OGG"):
        for seed in range(8):
            sound = read_sound(MAKERS[kind](np.random.default_rng(seed)), sample_rate=RATE, name=kind)
            assert 0.45 < sound.duration < 0.6


def predict(folder: Path) -> tuple[dict[str, list[float]], list[str]]:
    """Run `ser predict` on a folder under 1 GiB of memory; return name -> probabilities, and the errors."""
    done = subprocess.run(
        typed("-m", "ser", "predict", str(folder), "--json"), env=users_environment(), capture_output=True, text=True,
        timeout=300, check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30)),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == bool(errors), done.stderr[-500:]
    rows = json.loads(done.stdout) if done.stdout else []
    return {Path(row["file"]).name: list(row["probabilities"].values()) for row in rows}, errors


def test_hostile_files_in_a_folder_are_answered_or_named(times, tmp_path):
    (tmp_path / "harmless.wav").write_bytes(harmless("WAV", seconds=2.0))
    alone = predict(tmp_path)[0]["harmless.wav"]
    n_answered = 0
    for start in range(0, 100 * times, 100):
        for place in range(start, start + 100):
            file = hostile_sound(6, place)
            (tmp_path / f"number-{place}{file.suffix}").write_bytes(file.content)
        answers, errors = predict(tmp_path)
        files = sorted(tmp_path.iterdir())
        refused = [file.name for file in files for line in errors if line.startswith(f"error: {file} ")]
        assert sorted([*answers, *refused]) == [file.name for file in files]  # each once
        assert len(errors) == len(refused)
        probabilities = np.array(list(answers.values()))
        assert (probabilities >= 0).all()
        is_speech = probabilities.any(axis=1)  # what has none gets no emotion
        np.testing.assert_allclose(probabilities[is_speech].sum(axis=1), 1, atol=1e-4)
        np.testing.assert_allclose(answers["harmless.wav"], alone, atol=1e-5)
        n_answered += len(answers) - 1
        for path in tmp_path.glob("number-*"):
            path.unlink()
    assert 0 < n_answered < 100 * times
