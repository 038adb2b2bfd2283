"""`make demo`, without the installation: the three commands on the synthetic corpus."""

import json
import subprocess
import sys
from pathlib import Path

from ser.inference.checkpoint import load_recogniser

ROOT = Path(__file__).parents[2]


def test_the_demonstration_trains_evaluates_and_predicts(tmp_path: Path) -> None:
    for name in ("demo.py", "conf", "ser"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "demo.py"], cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "outputs" / "demo"
    assert load_recogniser(run)[1].class_names[0] == "neutral"
    assert (run / "evaluation" / "test_metrics.txt").is_file()
    ours, theirs = (json.loads((place / "metrics.json").read_text()) for place in (run / "evaluation", run))
    assert ours["confusion_matrix"] == theirs["confusion_matrix"], "a newcomer would see two scores of one model"
    assert "outputs/demo/checkpoints/best.ckpt" in done.stdout
    accuracy = float(next(line for line in done.stdout.splitlines() if line.startswith("accuracy")).split()[1][:-1])
    assert accuracy > 25, "twice as good as chance, or nothing was learnt"
