"""Hostile sound files through `python -m ser predict`, folder by folder: each is answered, or named in an error.

    python soak/predict_files.py [--count 2000] [--seed 0] [--json FILE] [--workers 2] [--folder-of 100]

The command runs as a user would run it, on the published model, each of its processes under a limit of 1 GiB of memory
(RLIMIT_DATA). In each folder lies one sound recording too, whose answer must be what it is alone. A failure is named by
its seed and place: `python soak/hostile_sounds.py SEED PLACE FILE` writes it.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from ser.corpora.progress import track
from ser.data.workers import THREAD_VARIABLES
from soak.figures import PROJECT, Figure, conclude, parser_of
from soak.hostile_sounds import hostile_sound
from soak.sound_bases import sound_bytes

MEBIBYTES = 1024
SECONDS = 300
"""For a folder; one of a hundred files takes some five."""
HARMLESS = "harmless.wav"


@dataclass(kw_only=True)
class Tally:
    """What became of the files of one folder or of all; `faults` are sentences."""

    answered: int = 0
    refused: int = 0
    peak_mib: float = 0.0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.answered += other.answered
        self.refused += other.refused
        self.peak_mib = max(self.peak_mib, other.peak_mib)
        self.slowest = max(self.slowest, other.slowest)
        self.faults += other.faults


def predict(folder: Path, *, workers: int) -> subprocess.CompletedProcess[str]:
    """Run the command on a folder, under the limit."""
    command = [sys.executable, "-m", "ser", "predict", str(folder), "--json", "--workers", str(workers)]
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1") | {"PYTHONPATH": str(PROJECT)}

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (MEBIBYTES * 2**20,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return subprocess.run(  # noqa: S603
        command, env=environment, preexec_fn=limit, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def judge(folder: Path, done: subprocess.CompletedProcess[str], *, alone: Sequence[float] | None) -> Tally:
    """Compare what the command said with what lay in the folder."""
    names = sorted(path.name for path in folder.iterdir())
    tally = Tally()
    if "Traceback" in done.stderr or done.returncode not in (0, 1):
        tally.faults.append(f"the command ended with {done.returncode}: {done.stderr[-500:]}")
        return tally
    answers = {Path(row["file"]).name: row for row in json.loads(done.stdout)} if done.stdout else {}
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for name in names:
        refusals = sum(line.startswith(f"error: {folder / name} ") for line in lines)
        if (name in answers) + refusals != 1:
            tally.faults.append(f"{name} was {'answered' if name in answers else 'not answered'}, refused {refusals}x")
        elif refusals:
            tally.refused += 1
        elif not _is_answer(list(answers[name]["probabilities"].values())):
            tally.faults.append(f"{name} was given {answers[name]['probabilities']}")
        else:
            tally.answered += 1
    if len(lines) != tally.refused or set(answers) - set(names):
        tally.faults.append(f"{len(lines)} errors for {tally.refused} refused files: {lines[:3]}")
    if done.returncode != (1 if tally.refused else 0):
        tally.faults.append(f"the exit status is {done.returncode} after {tally.refused} refusals")
    if alone is not None and HARMLESS in answers:
        beside = list(answers[HARMLESS]["probabilities"].values())
        if not np.allclose(beside, alone, rtol=0, atol=1e-5):
            tally.faults.append(f"the harmless recording is given {beside} beside the others, {alone} alone")
    return tally


def _is_answer(probabilities: Sequence[float]) -> bool:
    return bool(np.isfinite(probabilities).all() and min(probabilities) >= 0 and abs(sum(probabilities) - 1) < 1e-4)


def measure(count: int, *, seed: int, workers: int, folder_of: int) -> tuple[list[Figure], dict[str, Any]]:
    """Return the figures, and the faults with the first place of their folder."""
    total = Tally()
    with tempfile.TemporaryDirectory() as name:
        harmless = Path(name) / "alone"
        harmless.mkdir()
        (harmless / HARMLESS).write_bytes(sound_bytes(format="WAV", seconds=2.0))
        done = predict(harmless, workers=1)
        done.check_returncode()
        alone = list(json.loads(done.stdout)[0]["probabilities"].values())
        starts = range(0, count, folder_of)
        for start in track(starts, total=len(starts), description="Folders", unit="folders"):
            folder = Path(name) / "folder"
            folder.mkdir()
            for place in range(start, min(start + folder_of, count)):
                sound = hostile_sound(seed, place)
                (folder / f"number-{place}{sound.suffix}").write_bytes(sound.content)
            (folder / HARMLESS).write_bytes((harmless / HARMLESS).read_bytes())
            started = time.perf_counter()
            try:
                tally = judge(folder, predict(folder, workers=workers), alone=alone)
            except subprocess.TimeoutExpired:
                tally = Tally(faults=[f"took more than {SECONDS} s"])
            tally.slowest = time.perf_counter() - started
            tally.peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            tally.faults = [f"seed {seed}, folder from place {start}: {fault}" for fault in tally.faults]
            total.add(tally)
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
    hostile_answered = total.answered - len(starts)
    figure = Figure(
        figure="The same through predict, as processes under a memory limit",
        must=f"{count:,}; each answered or named, no crash, none over {MEBIBYTES} MiB, no folder over {SECONDS} s",
        measured=(
            f"{hostile_answered + total.refused:,} files in {len(starts)} folders: {hostile_answered:,} answered, "
            f"{total.refused:,} named, {len(total.faults)} faults; slowest folder {total.slowest:.1f} s, peak "
            f"{total.peak_mib:.0f} MiB a process"
        ),
        held=not total.faults and hostile_answered + total.refused == count and 0 < hostile_answered < count,
        command=f"python soak/predict_files.py --count {count} --seed {seed}",
    )
    return [figure], {"faults": total.faults, "peak_mib": total.peak_mib, "slowest_folder_seconds": total.slowest}


def main() -> int:
    """Measure, print, return the exit status."""
    parser = parser_of(__doc__, count=2_000, of="files")
    parser.add_argument("--workers", type=int, default=2, help="of the command (2)")
    parser.add_argument("--folder-of", type=int, default=100, help="files in a folder (100)")
    options = parser.parse_args()
    figures, details = measure(options.count, seed=options.seed, workers=options.workers, folder_of=options.folder_of)
    status = conclude(figures, details, options.json)
    for fault in details["faults"]:
        print(f"fault: {fault}")
    return status


if __name__ == "__main__":
    sys.exit(main())
