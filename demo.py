"""The whole way in a few minutes, on synthetic voices: train, evaluate, predict. `make demo` runs it."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent
RUN = Path("outputs/demo")


def main() -> None:
    """Run the three commands that a user would type, and print where everything is."""
    shutil.rmtree(ROOT / RUN, ignore_errors=True)  # a demonstration begins at the beginning
    _show("train", "experiment=demo", f"hydra.run.dir={RUN}")
    _show("evaluate", f"checkpoint={RUN}", f"hydra.run.dir={RUN}/evaluation")
    recording = next(Path("data").glob("synthetic-*/*/Actor_01/03-01-05-02-01-01-01.wav"))
    _show("predict", str(recording), "--model", str(RUN))
    print(
        f"\nDone. The run: {RUN}\n  its checkpoint: {RUN}/checkpoints/best.ckpt\n  its scores: {RUN}/val_metrics.txt, "
        f"{RUN}/learning_curve.png\n  its evaluation: {RUN}/evaluation/test_metrics.txt\nThe synthetic corpus: "
        f"{recording.parents[2]}\nOn real voices: see docs/guides/train.md."
    )


def _show(*arguments: str) -> None:
    print(f"\n$ ser {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "ser", *arguments]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 - our own command
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
