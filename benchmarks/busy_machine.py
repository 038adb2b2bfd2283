"""Training beside other load: steps a second, as OpenMP waits by itself and as `ser train` lets it wait.

    python benchmarks/busy_machine.py [--seconds 15] [--rounds 3] [--load 0 1 2] [--spins 0 1000]

The baseline network at batch 8 is trained by our module and Lightning on random features, in a process of its own for
each measurement. The sides take turns. Load is processes that only count, at the same priority. All sides of one number
of threads must end their first steps on the same weights, to the bit. `--spins` adds sides with that many turns of
waiting (GOMP_SPINCOUNT), to choose by.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from recordings import importing_ser

from ser.data.workers import WAITING_VARIABLES, core_count

PROGRAM = """
import hashlib, json, os, sys, time
if sys.argv[1] == "ser":
    from ser.data.workers import spin_briefly
    spin_briefly()
import logging, warnings
import lightning as L
import torch
from ser.corpora.ravdess import EMOTIONS
from ser.data.samplers import EpochBatchSampler, FeatureDataset, feature_loader
from ser.features.settings import FeatureSettings
from ser.models.metadata import ModelMetadata
from ser.models.registry import build_recogniser
from ser.training.module import EmotionClassifier

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")
CHECKED, WARM = 3, 5  # steps

class Clock(L.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        step = trainer.global_step
        if step == CHECKED:
            weights = b"".join(p.detach().numpy().tobytes() for p in module.parameters())
            self.weights = hashlib.sha256(weights).hexdigest()
        if step == WARM:
            self.started = time.perf_counter()
        if step > WARM and time.perf_counter() - self.started > float(sys.argv[2]):
            self.speed = (step - WARM) / (time.perf_counter() - self.started)
            trainer.should_stop = True

torch.manual_seed(0)
count = 1600
features = torch.randn(count, 187, 216), torch.full((count,), 216), torch.randint(0, 8, (count,))
metadata = ModelMetadata(
    architecture="cnn_bilstm_luong", network={}, class_names=EMOTIONS, features=FeatureSettings(), protocol="benchmark"
)
clock = Clock()
trainer = L.Trainer(
    accelerator="cpu", max_epochs=-1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False, callbacks=[clock],
)
classifier = EmotionClassifier(build_recogniser(metadata), metadata, seed=42)
sampler = EpochBatchSampler(features[1], batch_size=8, seed=42)
trainer.fit(classifier, train_dataloaders=feature_loader(FeatureDataset(*features), sampler))
print(json.dumps({"steps/s": clock.speed, "weights": clock.weights, "threads": torch.get_num_threads()}))
"""


def measure(
    *, seconds: float, rounds: int, loads: Sequence[int], spins: Sequence[int], with_one_thread: bool = True
) -> list[dict[str, Any]]:
    """Return one row a load and side: the median of the steps a second, and of their ratio to the first side's."""
    plain = {
        name: value for name, value in importing_ser().items() if name not in (*WAITING_VARIABLES, "OMP_NUM_THREADS")
    }
    sides: dict[str, tuple[str, Mapping[str, str]]] = {"OpenMP by default": ("", {}), "as ser train waits": ("ser", {})}
    sides |= {f"{count} spins": ("", {"GOMP_SPINCOUNT": str(count)}) for count in spins}
    if with_one_thread:
        sides["one thread"] = ("", {"OMP_NUM_THREADS": "1"})
    rows, weights = [], {}
    for load in loads:
        speeds: dict[str, list[float]] = {side: [] for side in sides}
        with _load(load):
            for _ in range(rounds):
                for side, (how, variables) in sides.items():
                    result = _train(how, seconds, environment=plain | variables)
                    speeds[side].append(result["steps/s"])
                    first = weights.setdefault(result["threads"], result["weights"])
                    print(f"load {load}, {side}: {result['steps/s']:.2f}", file=sys.stderr, flush=True)
                    assert result["weights"] == first, f"{side} trained other weights on {result['threads']} threads"
        first_side = next(iter(speeds.values()))
        for side, values in speeds.items():
            ratios = [ours / theirs for ours, theirs in zip(values, first_side, strict=True)]
            rows.append({"load": load, "side": side, "steps/s": median(values), "ratio": median(ratios)})
    return rows


@contextlib.contextmanager
def _load(processes: int) -> Iterator[None]:
    """Keep `processes` processes busy meanwhile."""
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(processes)]  # noqa: S603
    try:
        time.sleep(0.5)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _train(how: str, seconds: float, *, environment: Mapping[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-c", PROGRAM, how, str(seconds)]
    folder = Path(__file__).parents[1]
    done = subprocess.run(  # noqa: S603
        command, env=environment, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> list[dict[str, Any]]:
    """Measure, print a table, and return its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15, help="of each measurement, after its first steps")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--load", type=int, nargs="+", default=[0, core_count()], help="busy processes beside it")
    parser.add_argument("--spins", type=int, nargs="*", default=[])
    options = parser.parse_args()
    print(f"{core_count()} cores, load of others {os.getloadavg()[0]:.1f}\n")
    rows = measure(seconds=options.seconds, rounds=options.rounds, loads=options.load, spins=options.spins)
    print("| busy processes | side | steps/s (median) | ratio |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['load']} | {row['side']} | {row['steps/s']:.2f} | {row['ratio']:.2f} |")
    return rows


if __name__ == "__main__":
    main()
