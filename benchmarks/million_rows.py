"""A manifest of a million rows: checked, and trained on until the first step, in bounded memory.

    python benchmarks/million_rows.py [--rows 1000000] [--contents 400] [--memory-gb 2]

The rows name a million files, 4 GB of disk: copies of `--contents` synthetic recordings of 0.3 s, so that few features
have to be made. Those are made beforehand, by a training on one row of each content. So all that costs by row or by
file is measured in full, and nothing that costs by second of sound. There are no augmented copies
(data.augment_count=0), no validation (it would score 200,000 recordings) and one training step. The features of a
million samples take 190 GB. They do not fit into the budget of `--memory-gb`, so each batch is read from the cache.
Memory is that of the main process.

The first start reads every file for its digest; the second finds the digests in the cache.
"""

import argparse
import csv
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from recordings import PROJECT, importing_ser

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprise")
SPEAKERS = 1000
RATE, SECONDS = 8_000, 0.3
_PER_FOLDER = 1000
LIMIT_GB, LIMIT_SECONDS = 4.0, 120.0
"""What the second start must keep."""

PROGRAM = """
import os, runpy, sys
from torch.optim.optimizer import register_optimizer_step_post_hook

def stop(optimizer, args, kwargs):
    print("first step", flush=True)
    os._exit(0)

register_optimizer_step_post_hook(stop)
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""


def write_corpus(folder: Path, *, n_rows: int, n_contents: int) -> tuple[Path, Path]:
    """Write the files and two manifests: of all rows, and of one row of each content."""
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(n_contents):
        content = io.BytesIO()
        sound = rng.normal(0, 0.1, int(SECONDS * RATE))
        soundfile.write(content, sound, RATE, format="WAV", subtype="PCM_U8")
        contents.append(content.getvalue())
    head = ("file", "emotion", "speaker", "text")
    names = ("labels.csv", "few.csv")
    with (folder / names[0]).open("w", newline="") as all_rows, (folder / names[1]).open("w", newline="") as few_rows:
        every, few = csv.writer(all_rows), csv.writer(few_rows)
        every.writerow(head)
        few.writerow(head)
        for row in range(n_rows):
            name = f"{row // _PER_FOLDER:04d}/{row:07d}.wav"
            path = folder / name
            if row % _PER_FOLDER == 0:
                path.parent.mkdir()
            path.write_bytes(contents[row % n_contents])
            content, speaker = row % n_contents, row // n_contents % SPEAKERS
            cells = (name, EMOTIONS[content % len(EMOTIONS)], f"speaker {speaker}", f"sentence {row % 97}")
            every.writerow(cells)
            if row < n_contents:
                few.writerow(cells)
    return folder / names[0], folder / names[1]


def run(title: str, command: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Run a command; return the seconds it took, on the clock and of the processor, its peak in GB, and its output."""
    started = time.perf_counter()
    with subprocess.Popen(  # noqa: S603
        command, cwd=PROJECT, env=importing_ser(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}:\n{output[-3000:]}")
    used = {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_gb": usage.ru_maxrss * 1024 / 1e9}  # KiB on Linux
    print(f"{title}: {seconds:.0f} s", flush=True)
    return {"work": title, "seconds": seconds, **used}, output


def measure(folder: Path, *, n_rows: int, n_contents: int, memory_gb: float) -> list[dict[str, Any]]:
    """Return a row for each part: the check, the first and the second start of a training."""
    manifest, few = write_corpus(folder, n_rows=n_rows, n_contents=n_contents)
    ser = [sys.executable, "-m", "ser"]
    training = [
        *(sys.executable, "-c", PROGRAM, "data=manifest", "data.augment_count=0", f"paths.output_dir={folder / 'out'}"),
        *(
            f"data.memory_gb={memory_gb}",
            "trainer.max_epochs=1",
            "+trainer.max_steps=1",
            "+trainer.limit_val_batches=0",
        ),
    ]
    run("features", [*training, "data.split=all", f"data.manifest={few}"])
    training += ["data.split=speaker", "data.fold=0"]
    checked, output = run("`ser corpus check`", [*ser, "corpus", "check", str(manifest)])
    assert f"{n_rows:,} recordings" in output, output
    rows = [checked]
    for title in ("first start until the first step", "second start until the first step"):
        row, output = run(title, [*training, f"data.manifest={manifest}"])
        assert "first step" in output, output
        assert len(re.findall(r"(\d+) samples, the features of \1 from the cache", output)) == 3, output
        rows.append(row)
    return rows


def main() -> list[dict[str, Any]]:
    """Measure, print a table, and return its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--contents", type=int, default=400, help="recordings that the files are copies of")
    parser.add_argument("--memory-gb", type=float, default=2.0, help="data.memory_gb")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = measure(Path(name), n_rows=options.rows, n_contents=options.contents, memory_gb=options.memory_gb)
    print(f"| {options.rows:,} rows | seconds | of the processor | peak memory, GB |")
    print("|---|---|---|---|")
    for row in rows:
        print(f"| {row['work']} | {row['seconds']:.0f} | {row['cpu_seconds']:.0f} | {row['peak_gb']:.2f} |")
    last = rows[-1]
    print("held" if last["seconds"] < LIMIT_SECONDS and last["peak_gb"] < LIMIT_GB else "**not held**")
    return rows


if __name__ == "__main__":
    main()
