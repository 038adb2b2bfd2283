"""Hostile sound files: a valid sound or an AudioError that names the file, and nothing else.

They are read in a process that may take 256 MiB beyond what it begins with, and 10 s for a file. One that dies is a
failure of its file. `hostile_sound(seed, place)` makes a file that failed once more.
"""

import json
import math
import multiprocessing
import resource
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from ser.audio.io import MAX_PEAK, MAX_SECONDS, MIN_SECONDS, SILENCE_PEAK, Sound, read_sound
from ser.errors import AudioError
from tests.command_line import typed, users_environment
from tests.slow.hostile_sounds import DAMAGES, MAKERS, RATE, harmless, hostile_sound

MEBIBYTES = 256
REASONS = (
    "is empty", "it is neither", "no data chunk", "no format before", "samples of format", "holds no WAVE", "cut short",
    "has a rate of", "channels; 1 to", "lasts longer than", "lasts ", "not numbers", "times full scale", "is silent",
    "holds no sound", "cannot be read as sound",
)  # fmt: skip
"""Part of a message -> what the refusal is counted as; the first that fits."""
Reader = Callable[..., Sound]


def outcome(content: bytes | Path, name: str, read: Reader = read_sound) -> str:
    """Return "accepted", the reason of a refusal, or "failed: ..."."""
    try:
        sound = read(content, sample_rate=RATE, name=name)
    except AudioError as refusal:
        message = str(refusal)
        if name not in message or "\n" in message or len(message) > 500:
            return f"failed: a message that does not serve: {message[:200]!r}"
        return next((part for part in REASONS if part in message), f"failed: of an unknown kind: {message!r}")
    except Exception as error:  # that no other kind comes is what is tried
        return f"failed: {type(error).__name__}: {error}"[:200]
    waveform = sound.waveform
    right = {
        "type": waveform.dtype == np.float32 and waveform.ndim == 1,
        "rate": sound.sample_rate == RATE,
        "duration": MIN_SECONDS <= sound.duration <= MAX_SECONDS,
        "length": abs(len(waveform) - sound.duration * RATE) <= 1,
        "values": bool(np.isfinite(waveform).all()),
        "peak": math.isclose(sound.peak, np.abs(waveform).max()) and SILENCE_PEAK <= sound.peak <= 2 * MAX_PEAK,
    }
    return next(
        (f"failed: a sound whose {what} is wrong" for what, is_right in right.items() if not is_right), "accepted"
    )


def read_all(connection: Connection, seed: int, places: Sequence[int], read: Reader, seconds: int) -> None:
    """Send the outcome of each place; every fourth is read from disk. What runs in the process under limits."""
    held = int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (held + MEBIBYTES * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even one that is busy in a decoder
    with tempfile.TemporaryDirectory() as folder:
        for place in places:
            sound = hostile_sound(seed, place)
            name = f"number-{place}{sound.suffix}"
            source: bytes | Path = sound.content
            if place % 4 == 0:
                source = Path(folder) / name
                source.write_bytes(sound.content)
            signal.alarm(seconds)
            connection.send(outcome(source, name, read))
            signal.alarm(0)


def outcomes(
    places: Sequence[int], *, seed: int, read: Reader = read_sound, seconds: int = 10
) -> Iterator[tuple[int, str]]:
    """Yield place and outcome; a process that dies is followed by another, which goes on behind the file."""
    context = multiprocessing.get_context("spawn")
    while places:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=read_all, args=(theirs, seed, places, read, seconds), daemon=True)
        process.start()
        theirs.close()  # so that the death of the process is the end of the connection
        try:
            while places:
                told = ours.recv()
                yield places[0], told
                places = places[1:]
        except EOFError:
            process.join()
            yield places[0], f"failed: the process died of {signal.Signals(-process.exitcode).name}"
            places = places[1:]
        finally:
            process.kill()
            process.join()
            ours.close()


def test_hostile_files_are_sounds_or_refused(times):
    told = dict(outcomes(range(500 * times), seed=6))
    assert {place: kind for place, kind in told.items() if kind.startswith("failed")} == {}
    counts = Counter(told.values())
    assert counts.total() == 500 * times
    assert len(counts) >= 8
    assert 0 < counts["accepted"] < 0.6 * counts.total()  # else something else is wrong


BREAKS = {
    "KeyError": "raise KeyError('x')",
    "the process died of SIGABRT": "import os; os.abort()",
    "the process died of SIGALRM": "import time; time.sleep(60)",
    "MemoryError": "import numpy; numpy.ones(400 * 2**20, dtype='uint8')",
    "a message that does not serve": "from ser.errors import AudioError; raise AudioError('no')",
    "a sound whose values is wrong": "import numpy; sound = Sound(waveform=numpy.full(22050, numpy.nan, 'float32'), "
    "sample_rate=22050, duration=1.0, peak=0.5, clipped=False)",
}


def read_badly(source: bytes | Path, *, sample_rate: int, name: str, act: str) -> Sound:
    if "number-3." not in name:
        return read_sound(source, sample_rate=sample_rate, name=name)
    variables = {"Sound": Sound}
    exec(act, variables)  # noqa: S102 - our own
    return variables["sound"]


@pytest.mark.parametrize(("fault", "act"), BREAKS.items(), ids=BREAKS)
def test_a_failure_is_found_and_the_files_behind_it_are_read(fault, act):
    told = dict(outcomes(range(6), seed=0, read=partial(read_badly, act=act), seconds=3))
    assert [place for place, kind in told.items() if kind.startswith("failed")] == [3]
    assert told[3].startswith(f"failed: {fault}")
    assert len(told) == 6


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
    """Run `python -m ser predict` on a folder under 1 GiB of memory; return name -> probabilities, and the errors."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    command = typed("-m", "ser", "predict", str(folder), "--json")
    done = subprocess.run(
        command, env=users_environment(), preexec_fn=limit, capture_output=True, text=True, timeout=300, check=False
    )
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
        names = {"harmless.wav"}
        for place in range(start, start + 100):
            sound = hostile_sound(6, place)
            names.add(f"number-{place}{sound.suffix}")
            (tmp_path / f"number-{place}{sound.suffix}").write_bytes(sound.content)
        answers, errors = predict(tmp_path)
        n_answered += len(answers) - 1
        named = [name for name in names for line in errors if line.startswith(f"error: {tmp_path / name} ")]
        assert sorted([*answers, *named]) == sorted(names)  # each once
        assert len(errors) == len(named)
        probabilities = np.array(list(answers.values()))
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
        np.testing.assert_allclose(answers["harmless.wav"], alone, atol=1e-5)
        for name in names - {"harmless.wav"}:
            (tmp_path / name).unlink()
    assert 0 < n_answered < 100 * times
