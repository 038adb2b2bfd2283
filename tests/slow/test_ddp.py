"""Two processes on the CPU train and validate as one does."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import lightning as L
import pytest
import torch

from ser.training.config import read_run_settings
from ser.training.configuration import plain, read_configuration
from ser.training.module import EmotionClassifier
from ser.training.run import build_data
from tests.command_line import ROOT

OWN = '''
import os
import torch
from lightning import Callback
from torch import nn

class Plain(nn.Module):
    """No batch statistics, no dropout."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.hidden, self.classify = nn.Linear(n_features, 16), nn.Linear(16, n_classes)

    def forward(self, features, lengths):
        return self.classify(torch.tanh(self.hidden(features.mean(dim=2))))

class Seen(Callback):
    """Write down which samples a process is trained on, by a digest of each."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        os.makedirs(self.folder, exist_ok=True)
        with open(f"{self.folder}/{trainer.global_rank}.txt", "a") as file:
            for sample in batch[0]:
                file.write(f"{trainer.current_epoch} {batch_idx} {sample.double().sum().item()!r}\\n")
'''
VALIDATE = """
import json, sys
from pathlib import Path
from tests.slow.test_ddp import validated

if __name__ == "__main__":
    run, output = map(Path, sys.argv[1:])
    metrics, is_first = validated(run, devices=2, strategy="ddp")
    if is_first:
        output.write_text(json.dumps(metrics))
"""


def validated(run: Path, **options: object) -> tuple[dict[str, float], bool]:
    """Validate the model of a run; return its metrics, and whether this is the first process."""
    data = build_data(read_run_settings(plain(read_configuration(run))))
    quiet = {"logger": False, "enable_progress_bar": False, "use_distributed_sampler": False}
    trainer = L.Trainer(accelerator="cpu", **options, **quiet)
    (metrics,) = trainer.validate(EmotionClassifier.load_from_checkpoint(run), datamodule=data, verbose=False)
    return metrics, trainer.is_global_zero


def run_in(folder: Path, *command: str) -> None:
    environment = {"PYTHONPATH": f"{ROOT}", "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True, "timeout": 280, "check": False}
    done = subprocess.run([sys.executable, *command], **options)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    (place / "own.py").write_text(OWN)
    (place / "validate.py").write_text(VALIDATE)
    return place


def train(folder: Path, name: str, *overrides: str) -> Path:
    given = ("experiment=debug", f"run_name={name}", "trainer.max_epochs=2", "score_test=false", "logger=none")
    run_in(folder, str(ROOT / "train.py"), *given, *overrides)
    (run,) = (folder / "outputs" / name).iterdir()
    return run


OVERRIDES = (
    "model.network._target_=own.Plain",
    "+callbacks.seen._target_=own.Seen",
    "+callbacks.seen.folder=${paths.run_dir}/seen",
    "model.loss.class_weight_power=1.0",
    # 96 samples: batches of 19 for two processes are 10 and 9; the last one, of 1 sample, joins the one before.
    "data.batch_size=19",
    # As far as the classes occur unevenly.
    "+data.oversample.angry=3",
)


@pytest.fixture(scope="module")
def runs(place):
    """The runs of the same settings by one process and by two."""
    return [train(place, trainer, f"trainer={trainer}", *OVERRIDES) for trainer in ("cpu", "ddp_sim")]


def test_each_sample_is_seen_once_an_epoch(runs):
    def seen(run, epoch):
        lines = [line for path in (run / "seen").iterdir() for line in path.read_text().splitlines()]
        return Counter(line.split()[2] for line in lines if line.split()[0] == str(epoch))

    by_one, by_two = runs
    assert len(list((by_two / "seen").iterdir())) == 2
    for epoch in range(2):
        assert seen(by_two, epoch) == seen(by_one, epoch)
        assert sum(seen(by_two, epoch).values()) > 96


def test_two_processes_train_the_weights_of_one(runs):
    one, two = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in runs)
    assert set(one["state_dict"]) == set(two["state_dict"])
    for name, weights in one["state_dict"].items():
        torch.testing.assert_close(weights, two["state_dict"][name], rtol=0, atol=1e-5)
    for row, other in zip(one["history"], two["history"], strict=True):
        assert other == pytest.approx(row, abs=1e-5)


def test_two_processes_leave_one_folder_and_one_set_of_reports(runs):
    by_one, by_two = ({path.name for path in run.iterdir()} for run in runs)
    assert by_two == by_one


@pytest.fixture
def residual_run(place):
    network = "model.network._target_=ser.models.networks.residual_bilstm.ResidualBiLstm"
    return train(place, "residual_bilstm", "trainer=cpu", "features=logmel", network)


@pytest.mark.parametrize("trained", ["debug_run", "residual_run"])
def test_two_processes_measure_what_one_does(trained, place, request):
    # The recipe's networks in the tiny run: their batch statistics are fixed in validation.
    run, output = request.getfixturevalue(trained), place / f"{trained}.json"
    by_one, _ = validated(run, devices=1)
    run_in(place, "validate.py", str(run), str(output))
    assert json.loads(output.read_text()) == pytest.approx(by_one, abs=1e-6)
    assert set(by_one) == {"val/loss", "val/accuracy", "val/uar", "val/macro_f1"}
