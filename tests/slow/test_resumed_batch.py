"""A batch of recordings that is killed at random moments and resumed: no row is lost and none is doubled.

`SER_SOAK=25` takes 10,000 recordings.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser.inference.output import JSONL, journal_of
from tests.command_line import ROOT, typed, users_environment

MODEL = ROOT / "ser" / "pretrained" / "ser-ravdess.onnx"
READERS = {
    ".csv": pd.read_csv,
    JSONL: lambda path: pd.read_json(path, lines=True),
    ".parquet": pd.read_parquet,
}


@pytest.fixture(scope="module")
def recordings(voice, times, tmp_path_factory):
    """A folder of short recordings; one in forty cannot be read."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(400 * times):
        path = folder / f"{number:05}.wav"
        if number % 40:
            start = number % 20_000
            soundfile.write(path, voice[start : start + 6_000], 22_050)
        else:
            path.write_text("words")
    return folder


def run(recordings: Path, output: Path, *, growing: Path, stop: tuple[int, float] | None) -> int:
    """Predict the recordings, or go on with it; return the exit status.

    Parameters
    ----------
    growing : the file that rows are added to.
    stop : a signal to all processes, and the seconds until it is sent once rows come.
    """
    before = growing.stat().st_size if growing.exists() else 0
    command = typed("-m", "ser", "predict", str(recordings), f"--model={MODEL}", f"--output={output}", "--resume")
    with subprocess.Popen(
        command, cwd=ROOT, env=users_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # not as of `nohup`
    ) as process:  # fmt: skip
        if stop is not None:
            while process.poll() is None and not (growing.exists() and growing.stat().st_size > before):
                time.sleep(0.01)
            time.sleep(stop[1])
            if process.poll() is None:
                os.killpg(process.pid, stop[0])
        said = process.communicate()[1]
    assert "Traceback" not in said, said
    return process.returncode


@pytest.mark.parametrize("suffix", READERS)
def test_no_row_is_lost_or_doubled(recordings, suffix, times, tmp_path):
    output, names = tmp_path / f"results{suffix}", sorted(path.name for path in recordings.iterdir())
    journal = journal_of(output) if suffix == ".parquet" else output
    rng, n_stopped, sizes = np.random.default_rng(0), 0, [0]
    for number in range(4 + times):
        stop = (signal.SIGKILL, signal.SIGINT)[number % 2], rng.uniform(0.0, 0.2 * times)
        n_stopped += run(recordings, output, growing=journal, stop=stop) in (-signal.SIGKILL, 128 + signal.SIGINT)
        there = next((path for path in (journal, output) if path.exists()), None)
        sizes.append(there.stat().st_size if there else 0)
    assert run(recordings, output, growing=journal, stop=None) == 1  # of those that cannot be read
    rows = READERS[suffix](output)
    print(f"{suffix}: stopped {n_stopped} times; {len(rows)} rows; sizes {sizes}")
    assert n_stopped
    assert sorted(Path(name).name for name in rows["path"]) == names
    assert rows["error"].notna().sum() == len(names) // 40
    assert rows["model"].nunique() == 1
